from typing import get_args

import pytest

from adloom.ads.placements import GROUPS, PLACEMENTS, Box, parse_sizes
from adloom.config.brand import PlacementName
from adloom.errors import ConfigError


def test_the_names_in_brand_yaml_are_those_of_the_placements() -> None:
    assert tuple(PLACEMENTS) == get_args(PlacementName)


def test_groups_and_sizes_may_be_combined_and_none_comes_twice() -> None:
    assert [each.name for each in parse_sizes("1080x1080, 300x250,300X250")] == ["1080x1080", "300x250"]
    assert len(parse_sizes("iab")) == 6
    assert parse_sizes("social,iab") == [*GROUPS["social"], *GROUPS["iab"]]


@pytest.mark.parametrize("text", ["", "iab,", "300x251"])
def test_an_unknown_size_is_refused_with_those_known(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no ad size; expected one or more of iab, social, all, 300x250"):
        parse_sizes(text)


def test_a_story_keeps_texts_from_the_controls_of_the_app() -> None:
    assert PLACEMENTS["1080x1920"].safe_area == Box(72, 250, 936, 1330)
    assert PLACEMENTS["300x250"].safe_area == Box(16, 16, 268, 218)


def test_boxes_that_touch_do_not_overlap() -> None:
    box = Box(10, 10, 20, 5)
    assert box.overlaps(Box(29, 14, 5, 5))
    assert not box.overlaps(Box(30, 10, 5, 5))
    assert not box.overlaps(Box(10, 15, 5, 5))


def test_a_box_contains_itself_and_with_tolerance_a_slightly_larger_one() -> None:
    box = Box(0, 0, 10, 10)
    assert box.contains(box)
    assert not box.contains(Box(0, 0, 10.5, 10))
    assert box.contains(Box(0, 0, 10.5, 10), tolerance=1)


def test_an_inset_larger_than_the_box_leaves_nothing() -> None:
    assert Box(0, 0, 10, 10).inset(8, 0, 8, 0) == Box(8, 0, 0, 10)
