"""The progress of a picture generator in training: the kernel distance in cheap features, and collapse."""

import copy

import torch
from torch import nn
from torch.nn import functional

from adloom.arrays import Float64Array
from adloom.creatives.distances import kernel_distances
from adloom.errors import ConfigError

GRID = 7  # cells along each edge in which features are averaged
SEED = 20
MEMORY = 0.98  # share of the running variety that a step keeps
LEAST = 0.05  # a generator with less variety has collapsed; full collapse is noticed after about 150 steps
CONSTANT = 1e-3  # standard deviation below which a feature is taken for constant


def draw_by_batch_statistics(average: nn.Module, condition: torch.Tensor, latent: int, batch: int) -> torch.Tensor:
    """Draw a picture per condition from fixed noise, normalised within its batch; the generator stays as it is."""
    generator = copy.deepcopy(average).train()
    z = torch.randn(len(condition), latent, generator=torch.Generator().manual_seed(SEED)).to(condition.device)
    with torch.no_grad():
        pairs = zip(torch.split(z, batch), torch.split(condition, batch), strict=True)
        return torch.cat([generator(*pair) for pair in pairs])


def measure_kernel_distance(generated: torch.Tensor, real: torch.Tensor) -> float:
    """Return the kernel distance of pictures (pictures, channels, size, size), in features that real ones scale."""
    drawn, features = compute_features(generated), compute_features(real)
    mean, deviation = features.mean(0), features.std(0) + CONSTANT
    return float(kernel_distances((drawn - mean) / deviation, (features - mean) / deviation).mean())


def compute_features(picture: torch.Tensor) -> Float64Array:
    """Return brightness and contrast along both axes in each cell of a grid."""
    across, down = picture.diff(dim=3).abs(), picture.diff(dim=2).abs()
    cells = [functional.adaptive_avg_pool2d(part, GRID).flatten(1) for part in (picture, across, down)]
    features: Float64Array = torch.cat(cells, 1).double().cpu().numpy()
    return features


class CollapseDetector(nn.Module):
    """Watches the variety of generated pictures within their categories, relative to that of real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.variety: torch.Tensor
        self.register_buffer("variety", torch.tensor(1.0))

    def update(self, real: torch.Tensor, generated: torch.Tensor, category: torch.Tensor, step: int) -> None:
        """
        Count one batch of pictures of these one-hot categories (batch, categories).

        Raises ConfigError when the generator has collapsed.
        """
        spread = spread_within(real, category)
        if spread == 0:  # one picture per category is all there is
            return
        ratio = (spread_within(generated, category) / spread).clamp(max=1)
        self.variety.lerp_(ratio, 1 - MEMORY)
        if self.variety < LEAST:
            raise ConfigError(
                f"train_gan: the generator collapsed by step {step}: within a category its pictures differ "
                f"{float(self.variety):.1%} as much as the real ones, expected {LEAST:.0%} or more; the checkpoint of "
                "the epoch before is kept; set another train_gan.seed, or lower train_gan.learning_rate"
            )


def spread_within(picture: torch.Tensor, category: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of pictures from the mean picture of their category."""
    rows = picture.flatten(1).float()
    means = (category.T @ rows) / category.sum(0).clamp(min=1)[:, None]
    return (rows - category @ means).square().mean()
