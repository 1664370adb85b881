"""DeepDream's octaves and steps, on a gradient that is known."""

import numpy as np
import pytest

from adloom.arrays import Float32Array
from adloom.creatives.dream import MULTIPLE, dream, list_octaves


def brighten(picture: Float32Array) -> Float32Array:
    assert picture.shape[2] % MULTIPLE == picture.shape[3] % MULTIPLE == 0
    return np.ones_like(picture)


def test_octaves_end_with_the_size_and_leave_out_what_is_too_small() -> None:
    assert list_octaves((100, 140), 3) == [(51, 71), (71, 100), (100, 140)]
    assert list_octaves((40, 90), 8) == [(40, 90)]


def test_each_step_moves_the_picture_along_the_gradient() -> None:
    counted: list[int] = []
    grey = np.zeros((3, 45, 70), np.float32)
    dreamt = dream(grey, brighten, octaves=1, steps=3, seed=1, advance=lambda: counted.append(1))
    np.testing.assert_allclose(dreamt, 3 * 2 * 0.011, atol=1e-6)  # two bands of the gradient
    assert len(counted) == 3


def test_detail_of_a_small_octave_survives_in_the_next() -> None:
    grey = np.zeros((3, 45, 64), np.float32)
    np.testing.assert_allclose(dream(grey, brighten, octaves=2, steps=1, seed=1), 2 * 2 * 0.011, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (33, 2)])
def test_any_size_is_dreamt_within_the_bounds(size: tuple[int, int]) -> None:
    dreamt = dream(np.full((3, *size), 0.99, np.float32), brighten, octaves=4, steps=2, seed=1)
    assert dreamt.shape == (3, *size)
    assert dreamt.max() <= 1


def test_equal_seeds_give_equal_pictures() -> None:
    picture = np.random.default_rng(1).uniform(-1, 1, (3, 64, 64)).astype(np.float32)
    first, again, other = (dream(picture, np.square, octaves=2, steps=2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(other).all()
