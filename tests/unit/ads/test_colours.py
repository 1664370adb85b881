import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.ads.colours import choose_text_colour, contrast, measure_contrast, mix_colours, parse_colour

COLOURS = st.from_regex(r"#[0-9a-f]{6}", fullmatch=True)


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#777777", "#ffffff", 4.48),  # WebAIM: just not enough
        ("#767676", "#ffffff", 4.54),  # the lightest grey that is enough
        ("#ff0000", "#ffffff", 4.00),
        ("#0000ff", "#ffffff", 8.59),
        ("#ffff00", "#ffffff", 1.07),
    ],
)
def test_contrast_is_that_of_wcag(first: str, second: str, ratio: float) -> None:
    assert contrast(first, second) == pytest.approx(ratio, abs=0.005)


@given(COLOURS, COLOURS)
def test_contrast_is_symmetric_and_between_1_and_21(first: str, second: str) -> None:
    assert 1 <= contrast(first, second) == contrast(second, first) <= 21.0001


def test_contrast_is_measured_for_each_pixel() -> None:
    pixels = np.array([[[255, 255, 255], [0, 0, 0]]], np.uint8)
    assert measure_contrast("#000000", pixels).round(3).tolist() == [[21.0, 1.0]]


def test_mixes_lie_between_two_colours() -> None:
    assert mix_colours("#000000", "#ff8000", 0.5) == "#804000"
    assert mix_colours("#102030", "#ffffff", 0) == "#102030"


def test_texts_take_the_colour_that_reads_best() -> None:
    assert choose_text_colour("#1f2a52", "#14182b", "#ffffff") == "#ffffff"
    assert choose_text_colour("#f7efe4", "#14182b", "#ffffff") == "#14182b"


def test_a_colour_has_three_channels() -> None:
    assert parse_colour("#1f2a52").tolist() == [0x1F, 0x2A, 0x52]
