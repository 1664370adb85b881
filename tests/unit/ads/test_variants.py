import numpy as np
import pytest
from tests.support.brands import draw_bag, draw_photo

from adloom.ads.variants import choose_design, choose_varied, describe_pixels, drop_similar_lines, find_distinct


def test_near_duplicates_are_dropped_and_the_first_of_them_is_kept() -> None:
    vectors = np.array([[1, 0], [0.999, 0.0447], [0, 1], [0.9, 0.4359]])
    assert find_distinct(vectors) == [0, 2, 3]
    assert find_distinct(vectors, most=0.85) == [0, 2]


def test_pictures_that_hardly_differ_are_near_duplicates_by_their_pixels() -> None:
    bag = draw_bag(56)
    changed = bag.copy()
    changed[0, 0] = 30
    assert find_distinct(describe_pixels([bag, changed, 255 - bag, draw_photo()])) == [0, 2, 3]


def test_lines_that_nearly_repeat_are_dropped() -> None:
    assert drop_similar_lines(["Love this bag", "love this bag!", "A bag for life", "Love this bag."]) == [
        "Love this bag",
        "A bag for life",
    ]


def test_without_similarity_the_highest_rewards_come_first() -> None:
    assert choose_varied(np.array([0.1, 0.9, 0.5]), np.zeros((3, 3)), 5) == [1, 2, 0]


def test_a_copy_of_the_best_comes_after_something_else() -> None:
    similarity = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert choose_varied(np.array([1.0, 0.8, 0.7]), similarity, 3) == [0, 2, 1]  # 0.7 / 3 - 0.3 < 0


def test_equal_rewards_leave_the_order_to_variety() -> None:
    similarity = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.2], [0.1, 0.2, 1.0]])
    assert choose_varied(np.zeros(3), similarity, 2) == [0, 2]


@pytest.mark.parametrize("count", [9, 18])
def test_designs_differ_until_all_have_been_used(count: int) -> None:
    designs = [choose_design(number, draw_bag()) for number in range(count)]
    assert len({(design.template % 3, design.scheme, design.treatment) for design in designs}) == count
    assert {design.treatment for design in designs} == {"print", "dots"}
