"""Conditions: the columns of categories and attributes, by hand."""

import numpy as np
import pytest

from adloom.creatives.conditions import Conditions, ConditionSpace

SPACE = ConditionSpace(["bag", "boot"], {"tone": ["dark", "light"], "shape": ["round", "square", "tall"]})


def test_a_condition_has_a_column_for_each_category_and_value() -> None:
    condition = SPACE.encode(np.array([[1, 0, 2], [0, -1, 0]]))
    assert condition.tolist() == [[0, 1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 1, 0, 0]]
    assert (SPACE.sizes, SPACE.columns, condition.dtype.name) == ([2, 2, 3], 7, "float32")


def test_categories_alone_leave_the_attributes_out() -> None:
    assert SPACE.encode(np.array([1, 0])).tolist() == [[0, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]]


def test_categories_take_turns_with_their_own_attributes() -> None:
    labels = np.array([[0, 1, -1], [0, 0, 2], [0, 1, 1], [1, -1, 0]])
    turns = ConditionSpace(["bag", "boot"]).take_turns(labels, 7)
    assert turns.tolist() == [[0, 1, -1], [1, -1, 0], [0, 0, 2], [1, -1, 0], [0, 1, 1], [1, -1, 0], [0, 1, -1]]


def test_conditions_are_encoded_when_they_are_read() -> None:
    labels = np.array([[1, 0, 2], [0, -1, 0], [0, 1, 1]])
    rows = np.array([2, 0, 2])
    assert (Conditions(SPACE, labels)[rows] == SPACE.encode(labels)[rows]).all()


def test_a_mix_weighs_the_categories_to_1() -> None:
    condition = SPACE.mix({"bag": 1.0, "boot": 3.0}, {"shape": "tall"})
    assert condition == pytest.approx([0.25, 0.75, 0, 0, 0, 0, 1])
