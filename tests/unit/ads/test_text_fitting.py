import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adloom.ads.placements import SizeRange
from adloom.ads.text_fitting import fit_text, wrap
from adloom.ads.typefaces import find_default_typefaces

FACE = find_default_typefaces().headline
WORDS = st.lists(st.text("abcdefgiM1", min_size=1, max_size=12), min_size=1, max_size=12).map(" ".join)


def test_lines_break_where_the_next_word_would_not_fit() -> None:
    width = FACE.measure("one two", 20)
    assert wrap("one two three", FACE, 20, width) == ["one two", "three"]
    assert wrap("one two three", FACE, 20, width - 0.1) == ["one", "two", "three"]


def test_a_word_wider_than_the_box_stays_whole() -> None:
    assert wrap("a incomprehensibilities b", FACE, 20, 50) == ["a", "incomprehensibilities", "b"]


def test_lines_may_break_between_east_asian_characters() -> None:
    assert wrap("日本語の店", FACE, 10, FACE.measure("日本語", 10)) == ["日本語", "の店"]


def test_lines_have_similar_widths() -> None:
    fitted = fit_text(
        "Perfect for a weekend away", FACE, FACE.measure("Perfect for a weekend", 20), 60, SizeRange(20, 20, 2)
    )
    assert fitted.lines == ("Perfect for a", "weekend away")


def test_a_text_shrinks_until_it_fits() -> None:
    width = FACE.measure("weekend", 20)
    fitted = fit_text("weekend", FACE, width, 100, SizeRange(40, 10, 1))
    assert fitted.fits
    assert 20 * 0.96 <= fitted.size <= 20


def test_the_height_counts_capitals_descenders_and_leading() -> None:
    fitted = fit_text("one two", FACE, FACE.measure("one", 10), 100, SizeRange(10, 10, 2))
    assert fitted.height == pytest.approx(10 * (0.72 + 0.25 + 1.14))


@pytest.mark.parametrize(
    ("text", "width", "height", "lines"),
    [("incomprehensibilities", 40, 100, 3), ("one two three four", 60, 100, 1), ("one two", 40, 8, 3)],
)
def test_a_text_too_wide_too_long_or_too_high_does_not_fit(text: str, width: int, height: int, lines: int) -> None:
    fitted = fit_text(text, FACE, width, height, SizeRange(30, 14, lines))
    assert (fitted.fits, fitted.size) == (False, 14)
    assert " ".join(fitted.lines) == text


@settings(max_examples=60, deadline=None)
@given(WORDS, st.floats(20, 400), st.floats(10, 200), st.integers(1, 5))
def test_what_fits_is_inside_its_box_and_loses_no_word(text: str, width: float, height: float, lines: int) -> None:
    fitted = fit_text(text, FACE, width, height, SizeRange(40, 12, lines))
    assert " ".join(fitted.lines) == text
    if fitted.fits:
        assert fitted.width <= width + 0.5
        assert fitted.height <= height
        assert len(fitted.lines) <= lines
