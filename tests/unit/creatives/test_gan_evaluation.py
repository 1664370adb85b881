"""The generator's metrics by hand, and its evaluation on pictures of known faults."""

import numpy as np
import pandas as pd
import pytest
from tests.support.painted_pictures import as_table
from tests.unit.creatives.test_cnn_evaluation import read

from adloom.arrays import Float32Array, Int64Array, UInt8Array
from adloom.config.params import Evaluate
from adloom.creatives import gan_evaluation, pictures
from adloom.creatives.conditions import ConditionSpace
from adloom.errors import DataError
from adloom.evaluation.metric import Figure, Table

PARAMS = Evaluate(bootstraps=50, threads=1, gan_samples=200)
CATEGORIES = ["dark", "light"]
SPACE = ConditionSpace(CATEGORIES)
HISTORY = {"generator_loss": [[1.0, 0.5], [2.0, 0.4]]}
RNG = np.random.default_rng(0)


def shades(category: Int64Array) -> UInt8Array:
    """Dark and light pictures, no two alike."""
    centre = np.where(category == 0, 60, 190)[:, None, None, None]
    return np.clip(centre + RNG.normal(0, 30, (len(category), 1, 28, 28)), 0, 255).astype(np.uint8)


def table(train: int = 200, test: int = 100) -> pd.DataFrame:
    category = np.arange(train + test) % 2
    return pd.DataFrame(
        {
            "category": np.array(CATEGORIES)[category],
            "split": ["train"] * train + ["test"] * test,
            "image": pictures.encode_pngs(shades(category)),
            "width": 28,
            "height": 28,
            "channels": 1,
        }
    )


class Painter:
    """Draws new pictures of a category; the first `copied` are training pictures, those of `lazy` show another one."""

    latent = 3

    def __init__(self, rows: pd.DataFrame, copied: int = 0, lazy: int | None = None) -> None:
        self.copied, self.lazy = copied, lazy
        train = rows[rows["split"] == "train"]
        self.known = pictures.decode_pngs(train["image"].tolist(), 1, 28, 28)[::2]  # the dark ones

    def __call__(self, z: Float32Array, condition: Float32Array) -> Float32Array:
        category = condition.argmax(1)
        drawn = shades(np.where(category == self.lazy, 1 - category, category))
        drawn[: self.copied] = self.known[: self.copied]
        return pictures.to_floats(drawn)


ROWS = table()


def evaluate(painter: Painter, rows: pd.DataFrame = ROWS) -> dict[str, float]:
    evaluation = gan_evaluation.evaluate(painter, read, as_table(rows), SPACE, PARAMS, HISTORY)
    assert set(evaluation.samples) == set(evaluation.metrics)
    assert all(section.png.startswith(b"\x89PNG") for section in evaluation.sections if isinstance(section, Figure))
    return {name: metric.value for name, metric in evaluation.metrics.items()}


@pytest.mark.slow
def test_a_good_generator() -> None:
    values = evaluate(Painter(ROWS))
    assert set(values) == {
        "agreement", "agreement_lowest", "agreement.dark", "agreement.light", "copies", "nearest_distance",
        "frechet_distance", "kernel_distance", "precision", "recall",
    }  # fmt: skip
    assert values["agreement"] == values["agreement_lowest"] == 1
    assert values["copies"] <= 0.03  # the threshold of a hundred test pictures is loose
    assert values["frechet_distance"] < 0.01
    assert min(values["precision"], values["recall"]) > 0.9


@pytest.mark.slow
def test_planted_copies_are_counted() -> None:
    evaluation = gan_evaluation.evaluate(Painter(ROWS, copied=6), read, as_table(ROWS), SPACE, PARAMS, HISTORY)
    [copied] = evaluation.samples["copies"].columns
    assert copied[:6].all()
    assert copied[6:].mean() <= 0.03


@pytest.mark.slow
def test_a_category_without_agreement_is_reported() -> None:
    values = evaluate(Painter(ROWS, lazy=1))
    assert (values["agreement"], values["agreement_lowest"]) == (0.5, 0)
    assert (values["agreement.dark"], values["agreement.light"]) == (1, 0)
    assert values["frechet_distance"] > 0.1
    assert values["recall"] < 0.6


@pytest.mark.slow
def test_without_a_reader_only_copies_are_measured() -> None:
    evaluation = gan_evaluation.evaluate(Painter(ROWS), None, as_table(ROWS), SPACE, PARAMS, HISTORY)
    assert set(evaluation.metrics) == {"copies", "nearest_distance"}
    assert not any(isinstance(section, Table) for section in evaluation.sections)


def test_without_test_pictures_nothing_is_measured() -> None:
    with pytest.raises(DataError, match="0 pictures in split test, expected at least 1"):
        evaluate(Painter(ROWS), ROWS[ROWS["split"] == "train"])


def test_every_category_is_generated_in_the_training_mix() -> None:
    category = np.repeat([0, 1, 2], [75, 24, 1])
    assert np.bincount(gan_evaluation.choose_categories(category, 3, 1000)).tolist() == [
        750,
        240,
        gan_evaluation.MIN_PER_CATEGORY,
    ]


def test_statistics_by_hand() -> None:
    category, hit = np.array([0, 0, 1, 1]), np.array([True, True, True, False])
    assert gan_evaluation.lowest_share(category, hit, np.ones(4)) == 0.5
    assert gan_evaluation.lowest_share(category, hit, np.array([1, 0, 1, 0])) == 1
    assert gan_evaluation.weighted_median(np.array([3.0, 1.0, 2.0]), np.ones(3)) == 2
    assert gan_evaluation.weighted_median(np.array([3.0, 1.0, 2.0]), np.array([9, 1, 1])) == 3
