"""The features of creatives matter for clicks, and as many categories as possible run."""

import numpy as np
import pytest

from adloom.world.creatives import MAX_LINE, Creatives, choose_running, combine, draw_appeal, draw_taste

SPREAD = 0.8
LINES = ["short", "x" * MAX_LINE, "x" * (MAX_LINE + 1)]


def creatives(count: int) -> Creatives:
    """Return creatives of five categories, the brighter the higher their index."""
    pixels = np.broadcast_to(np.arange(count).reshape(-1, 1, 1) % 256, (count, 2, 2)).astype(np.uint8)
    ids = [str(i) for i in range(count)]
    return combine(ids, [f"c{i % 5}" for i in range(count)], pixels, LINES, 1)


def test_lines_are_short_enough() -> None:
    assert set(creatives(100).lines) == {*LINES[:2]}


def test_each_category_runs_before_one_runs_twice() -> None:
    everything = creatives(100)
    chosen = everything.select(choose_running(everything, 5, 3))
    assert sorted(chosen.categories) == [f"c{i}" for i in range(5)]
    assert len({*choose_running(everything, 12, 3).tolist()}) == 12


def test_appeal_follows_category_brightness_and_length() -> None:
    everything = creatives(250)
    taste = draw_taste(everything.categories, 4, 1)
    appeal = draw_appeal(everything, taste, 2, SPREAD, 1)
    assert appeal.shape == (4, 2, 250)
    assert appeal.std() == pytest.approx(SPREAD, rel=0.35)
    liked = np.stack([taste[name] for name in everything.categories], 1)
    bright = everything.pixels.mean((1, 2))
    long = np.array([len(line) for line in everything.lines])
    for placement in range(2):
        rest = appeal[:, placement] - SPREAD * 0.55**0.5 * liked  # what category does not explain
        assert np.allclose(rest, rest[0])  # the same for all segments
        assert abs(np.corrcoef(rest[0], bright)[0, 1]) > 0.4
        assert abs(np.corrcoef(rest[0], long)[0, 1]) > 0.25
