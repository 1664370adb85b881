import re

import numpy as np
import pytest
from tests.support.brands import draw_bag, draw_photo

from adloom.ads.artwork import Shades, choose_treatments, crop_to_focus, draw_artwork, extract_tones
from adloom.ads.placements import Box

SHADES = Shades("#000000", ("#400000", "#800000", "#ff0000"))


def test_small_pictures_are_redrawn_and_large_or_blank_ones_are_not() -> None:
    assert choose_treatments(draw_bag()) == ("print", "dots")
    assert choose_treatments(draw_photo()) == ("photo",)
    assert choose_treatments(np.full((1, 1, 3), 9, np.uint8)) == ("photo",)


@pytest.mark.parametrize("invert", [False, True])
def test_a_subject_has_tones_and_its_ground_none_whatever_is_lighter(invert: bool) -> None:
    picture = np.zeros((9, 9, 3), np.uint8)
    picture[3:6, 2:7] = 200
    tones = extract_tones(255 - picture if invert else picture)
    assert tones.shape == (5, 7)  # the subject of 3x5 with a pad of 1
    assert (tones[1:-1, 1:-1] == 1).all()
    assert (tones[0] == 0).all()


def test_tones_are_ranks_so_that_a_faint_subject_has_all_of_them() -> None:
    picture = np.zeros((6, 8, 3), np.uint8)
    picture[1:5, 2:6] = (100 + np.arange(16).reshape(4, 4))[:, :, None]
    assert np.unique(extract_tones(picture)).tolist() == [0, *(np.arange(1, 17) / 16).tolist()]


def test_dots_stay_inside_the_box_and_grow_with_the_tone() -> None:
    svg = draw_artwork(draw_bag(), "dots", Box(10, 20, 100, 80), SHADES)
    circles = [tuple(map(float, match)) for match in re.findall(r"M([\d.]+) ([\d.]+)a([\d.]+)", svg)]
    assert len(circles) > 50
    assert all(x >= 10 and x + 2 * radius <= 111 and 19 <= y <= 101 for x, y, radius in circles)
    assert len({radius for _, _, radius in circles}) > 5


def test_a_crop_follows_the_detail() -> None:
    picture = np.full((100, 400, 3), 128, np.uint8)
    picture[20:80, 300:380] = draw_photo(60, 80)
    cropped = crop_to_focus(picture, Box(0, 0, 100, 100))
    assert cropped.shape == (100, 100, 3)
    assert (cropped != 128).any(axis=2).mean() > 0.4


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (300, 1, 3)])
@pytest.mark.parametrize("treatment", ["photo", "print", "dots"])
def test_a_picture_of_one_pixel_or_row_can_be_drawn(shape: tuple[int, ...], treatment: str) -> None:
    assert draw_artwork(np.full(shape, 7, np.uint8), treatment, Box(0, 0, 30, 40), SHADES) is not None  # type: ignore[arg-type]
