"""Attributes derived from the pixels: drawings whose answer is plain."""

import numpy as np
import pytest

from adloom.arrays import UInt8Array
from adloom.data.attributes import DERIVED


def draw(top: int, left: int, height: int, width: int, level: int = 200, background: int = 0) -> UInt8Array:
    """A rectangle on a plain background of 20 by 20 pixels."""
    pixels = np.full((20, 20, 1), background, np.uint8)
    pixels[top : top + height, left : left + width] = level
    return pixels


@pytest.mark.parametrize(
    ("pixels", "brightness", "aspect"),
    [
        (draw(5, 5, 8, 8), "light", "square"),
        (draw(5, 5, 10, 4, level=120), "medium", "tall"),
        (draw(5, 2, 4, 16, level=40), "dark", "wide"),
        (draw(5, 5, 8, 4, level=40, background=255), "dark", "tall"),
        (draw(0, 0, 0, 0, background=90), "medium", "square"),
    ],
)
def test_brightness_and_aspect_are_those_of_the_subject(pixels: UInt8Array, brightness: str, aspect: str) -> None:
    assert DERIVED["brightness"](pixels) == brightness
    assert DERIVED["aspect"](pixels) == aspect
    assert DERIVED["brightness"](pixels.repeat(3, 2)) == brightness


def test_symmetry_is_that_of_the_subject_wherever_it_stands() -> None:
    rectangle = draw(2, 1, 8, 6)
    assert DERIVED["symmetry"](rectangle) == "symmetric"
    boot = np.maximum(rectangle, draw(8, 1, 4, 14))
    assert DERIVED["symmetry"](boot) == "asymmetric"
