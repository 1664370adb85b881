"""Copies: planted ones are caught, mirrored and noisy ones too; real new pictures and smooth ones are not."""

import numpy as np
import pytest

from adloom.arrays import UInt8Array
from adloom.creatives import memorization

RNG = np.random.default_rng(0)


def products(number: int, size: int = 28, channels: int = 1, contrast: float = 1.0) -> UInt8Array:
    """Pictures of one kind that differ as products do: smooth random fields around a common shape."""
    coarse = RNG.normal(0, 1, (number, channels, size // 4, size // 4)).repeat(4, 2).repeat(4, 3)
    ramp = np.linspace(60, 160, size)[None, None, :, None]
    return np.clip(ramp + contrast * 30 * coarse, 0, 255).astype(np.uint8)


TRAINING = products(400)
TEST = memorization.find_nearest(products(300), TRAINING)


def share_of_copies(pictures: UInt8Array) -> float:
    return float((memorization.find_nearest(pictures, TRAINING).relative < memorization.copy_threshold(TEST)).mean())


def noisy(pictures: UInt8Array) -> UInt8Array:
    return np.clip(pictures + RNG.normal(0, 5, pictures.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", [lambda p: p, lambda p: p[..., ::-1], noisy], ids=["as it is", "mirrored", "noisy"])
def test_a_planted_copy_is_detected(change: object) -> None:
    planted = products(20)
    planted[7] = change(TRAINING[123])  # type: ignore[operator]
    assert share_of_copies(planted) == 1 / 20
    near = memorization.find_nearest(planted, TRAINING)
    assert near.index[7] == 123
    assert near.relative[7] < 0.3


def test_new_pictures_and_smooth_ones_are_no_copies() -> None:
    assert share_of_copies(products(200)) <= 2 / 200
    assert share_of_copies(products(200, contrast=0.5)) <= 2 / 200


def test_distances_by_hand() -> None:
    black, grey = np.zeros((1, 1, 2, 2), np.uint8), np.full((1, 1, 2, 2), 126, np.uint8)  # levels 0 and 63
    near = memorization.find_nearest(grey, np.concatenate([black, grey + 126]))
    assert near.pixels.tolist() == pytest.approx([126.5], abs=0.1)  # of 127 levels
    assert near.relative.tolist() == [1]  # both are equally far
    assert near.index.tolist() == [0]


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3), (128, 3)])
def test_sums_are_exact_in_every_order(size: int, channels: int) -> None:
    white = np.full((1, channels, size, size), 255, np.uint8)
    point = memorization._to_points(white)
    assert point.shape[1] * (memorization.LEVELS - 1) ** 2 < 2**24
    assert float((point**2).sum()) == point.shape[1] * (memorization.LEVELS - 1) ** 2


def test_more_neighbours_than_training_pictures() -> None:
    assert memorization.find_nearest(TRAINING[:3], TRAINING[:3]).relative.tolist() == [0, 0, 0]
