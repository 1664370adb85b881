"""The piano roll."""

import io

import numpy as np
from PIL import Image

from adloom.music.abc_notation import parse_abc
from adloom.music.figures import draw_piano_roll


def test_a_scale_rises_and_equal_tunes_are_equal_bytes() -> None:
    tune = parse_abc("M:2/4\nL:1/8\nK:C\nCDEF|GABc|\n")
    png = draw_piano_roll(tune)
    assert png == draw_piano_roll(tune)
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    rows, columns = np.nonzero((np.abs(pixels - (0, 0x72, 0xB2)) < 10).all(axis=2))
    middle = (columns.min() + columns.max()) // 2
    assert rows[columns < middle].mean() > rows[columns > middle].mean()  # lower at first
