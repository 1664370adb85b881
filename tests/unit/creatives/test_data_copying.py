"""The three-sample test by hand."""

import numpy as np
import pytest

from adloom.creatives.data_copying import ct_statistic


def columns(test: list[float], generated: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([*test, *generated]), np.repeat([False, True], [len(test), len(generated)])


def test_one_cell_by_hand() -> None:
    """Of 4 pairs one is above: (1 - 2) / sqrt(2 x 2 x 5 / 12)."""
    distance, is_generated = columns([2, 4], [1, 3])
    assert ct_statistic(distance, is_generated, np.zeros(4), np.ones(4)) == pytest.approx(-1 / np.sqrt(20 / 12))


def test_equal_distances_give_zero_and_copies_are_below() -> None:
    random = np.random.default_rng(0)
    test = random.uniform(1, 2, 400)
    cell, weights = np.tile(np.arange(4), 200), np.ones(800)
    same, is_generated = columns(test.tolist(), random.uniform(1, 2, 400).tolist())
    assert abs(ct_statistic(same, is_generated, cell, weights)) < 3
    half = np.where(random.random(400) < 0.5, 0, test)  # half of them copies
    assert ct_statistic(np.concatenate([test, half]), is_generated, cell, weights) < -3


def test_cells_count_by_their_test_pictures_and_small_ones_do_not() -> None:
    """One cell of 30 test pictures without a difference, one of 10 in which all generated ones are nearer."""
    near = columns([2] * 10, [1] * 10)
    cells = [columns([1] * 30, [1] * 30), near, columns([2] * 9, [1] * 50)]
    distance, is_generated = (np.concatenate(parts) for parts in zip(*cells, strict=True))
    cell = np.repeat([0, 1, 2], [60, 20, 59])
    alone = ct_statistic(*near, np.zeros(20), np.ones(20))
    assert alone == pytest.approx(-50 / np.sqrt(100 * 21 / 12))
    assert ct_statistic(distance, is_generated, cell, np.ones(139)) == pytest.approx(alone * 10 / 40)


def test_weights_repeat_rows_and_one_sample_alone_has_no_statistic() -> None:
    distance, is_generated = columns([2, 4], [1, 3])
    doubled = ct_statistic(distance.repeat(2), is_generated.repeat(2), np.zeros(8), np.ones(8))
    assert ct_statistic(distance, is_generated, np.zeros(4), np.full(4, 2)) == pytest.approx(doubled)
    assert np.isnan(ct_statistic(distance, is_generated, np.zeros(4), np.array([1, 1, 0, 0])))
