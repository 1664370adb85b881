"""Codes of pictures: as noise within each category, in proportion to what differs most."""

import numpy as np
from threadpoolctl import threadpool_limits

from adloom.arrays import Int64Array, UInt8Array
from adloom.creatives.picture_codes import encode_pictures


def draw(number: int) -> tuple[UInt8Array, Int64Array]:
    """Draw pictures of two categories, which differ in two shades; those of the second vary four times as much."""
    random = np.random.default_rng(0)
    category = np.arange(number) % 2
    shades = 128 + np.where(category, 40, 10)[:, None, None, None, None] * random.uniform(-1, 1, (number, 3, 2, 1, 1))
    shades[:, 1:] = 90
    return np.broadcast_to(shades, (number, 3, 2, 14, 28)).reshape(number, 3, 28, 28).astype(np.uint8), category


def test_the_codes_of_every_category_have_mean_0_and_variance_1() -> None:
    pixels, category = draw(400)
    codes = encode_pictures([pixels[:100], pixels[100:]], category, 128)
    assert codes.shape == (400, 2)  # two shades vary
    for number in (0, 1):
        own = codes[category == number]
        assert np.allclose(own.mean(0), 0, atol=1e-5)
        assert np.allclose(own.var(0), 1, atol=0.15)


def test_the_first_value_of_a_code_is_in_proportion_to_what_differs_most() -> None:
    shades = 4 * np.arange(60, dtype=np.uint8)[:, None, None, None]
    codes = encode_pictures([np.broadcast_to(shades, (60, 3, 28, 28))], np.arange(60) // 30, 128)
    for own in (codes[:30, 0], codes[30:, 0]):
        assert abs(np.corrcoef(own, np.arange(30))[0, 1]) > 0.999


def test_codes_are_no_longer_than_the_noise_and_independent_of_threads() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (60, 3, 32, 32), np.uint8)
    category = np.arange(60) % 3
    codes = encode_pictures([pixels], category, 5)
    assert codes.shape == (60, 5)
    with threadpool_limits(2, "blas"):
        assert np.array_equal(encode_pictures([pixels], category, 5), codes)


def test_equal_pictures_have_no_code() -> None:
    assert encode_pictures([np.full((6, 3, 28, 28), 9, np.uint8)], np.arange(6) % 2, 128).shape == (6, 0)
