"""The search space of each stage, and the validation metric that `adloom tune` minimises."""

from collections.abc import Mapping
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from adloom.errors import ConfigError


@dataclass(frozen=True)
class SearchSpace:
    """The params of a stage that are searched; the objective is measured on split validation after each epoch."""

    params: Mapping[str, BaseDistribution]
    objective: str = "validation_loss"  # that of training.loop, which takes seconds to import


SPACES = {
    "train_gan": SearchSpace(
        {
            "learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
            "ema_decay": FloatDistribution(0.99, 0.9995),
            "category_weight": FloatDistribution(0.0, 1.0),
            "latent": CategoricalDistribution((64, 128)),
        },
        objective="kernel_distance",
    ),
    "train_cnn": SearchSpace(
        {
            "learning_rate": FloatDistribution(1e-3, 1e-2, log=True),
            "weight_decay": FloatDistribution(1e-3, 0.3, log=True),
            "label_smoothing": FloatDistribution(0.0, 0.2),
            "embedding": CategoricalDistribution((32, 64, 128)),
        }
    ),
    "train_lstm": SearchSpace(
        {
            "learning_rate": FloatDistribution(1e-3, 1e-2, log=True),
            "weight_decay": FloatDistribution(1e-3, 0.3, log=True),
            "dropout": FloatDistribution(0.0, 0.6),
            "hidden": IntDistribution(96, 512, log=True),
            "vocabulary": IntDistribution(400, 3000, log=True),
        }
    ),
    "train_music": SearchSpace(
        {
            "learning_rate": FloatDistribution(2e-3, 3e-2, log=True),
            "weight_decay": FloatDistribution(1e-3, 0.3, log=True),
            "dropout": FloatDistribution(0.0, 0.5),
            "hidden": IntDistribution(48, 256, log=True),
        }
    ),
}


def find_space(stage: str) -> SearchSpace:
    """Return a stage's space. Raises ConfigError for a stage without one."""
    if stage not in SPACES:
        names = ", ".join(name.replace("_", "-") for name in SPACES)
        raise ConfigError(f"{stage.replace('_', '-')}: has no metric on split validation to tune by; tune {names}")
    return SPACES[stage]
