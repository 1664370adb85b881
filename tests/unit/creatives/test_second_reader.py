"""The second reader: it reads what a line can part, and is the same with every number of pictures per category."""

import numpy as np

from adloom.creatives.second_reader import fit_second_reader

RNG = np.random.default_rng(0)


def clouds(rows: int, shift: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Two long parallel clouds; only the short direction parts them."""
    category = np.arange(rows) % 2
    return RNG.normal(size=(rows, 3)) * [1, 20, 0.1] + np.outer(category, [shift, 0, 0]), category


def test_clouds_are_parted_along_the_short_direction() -> None:
    reader = fit_second_reader(*clouds(200), 2)
    features, category = clouds(400)
    assert reader is not None
    assert (reader.read(features) == category).mean() > 0.9  # 1.5 deviations on each side give 0.933


def test_two_points_by_hand() -> None:
    reader = fit_second_reader(np.array([[0.0], [2.0], [10.0], [12.0]]), np.array([0, 0, 1, 1]), 2)
    assert reader is not None
    assert reader.read(np.array([[5.9], [6.1]])).tolist() == [0, 1]


def test_a_category_without_pictures_is_never_read() -> None:
    reader = fit_second_reader(np.array([[0.0], [2.0], [0.5], [12.0], [13], [11]]), np.array([0, 0, 0, 2, 2, 2]), 3)
    assert reader is not None
    assert set(reader.read(RNG.normal(6, 9, (50, 1))).tolist()) == {0, 2}


def test_too_few_pictures_fit_none() -> None:
    assert fit_second_reader(np.zeros((3, 1)), np.array([0, 1, 1]), 2) is None


def test_equal_pictures_are_read_without_an_error() -> None:
    reader = fit_second_reader(np.zeros((6, 2)), np.array([0, 0, 0, 1, 1, 1]), 2)
    assert reader is not None
    assert reader.read(np.zeros((2, 2))).tolist() == [0, 0]
