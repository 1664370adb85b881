"""The values of attributes: rare ones, limits, and labels."""

import logging

import numpy as np
import pandas as pd
import pytest

from adloom.creatives import attributes
from adloom.errors import DataError

TONE = ["dark"] * 12 + ["light"] * 10 + ["grey", "grey", None]


def test_rare_values_are_named_and_become_other(caplog: pytest.LogCaptureFixture) -> None:
    columns = pd.DataFrame({"tone": TONE})
    values = attributes.list_values(columns)
    assert values == {"tone": ["dark", "light", "other"]}
    assert "attribute tone: 1 values with fewer than 10 pictures become 'other', such as grey (2)" in caplog.text
    assert attributes.number_values(columns.iloc[[0, 12, 22, 24]], values).tolist() == [[0], [1], [2], [-1]]


def test_a_value_that_training_did_not_have_is_other_or_absent() -> None:
    columns = pd.DataFrame({"tone": ["pink", "dark"]})
    assert attributes.number_values(columns, {"tone": ["dark", "other"]}).tolist() == [[1], [0]]
    assert attributes.number_values(columns, {"tone": ["dark", "light"]}).tolist() == [[-1], [0]]
    assert attributes.number_values(columns, {"shape": ["round", "tall"]}).tolist() == [[-1], [-1]]


@pytest.mark.parametrize("column", [["dark"] * 30, [f"title {number}" for number in range(30)], [None] * 30])
def test_an_attribute_without_two_values_is_left_out(
    column: list[str | None], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert attributes.list_values(pd.DataFrame({"tone": pd.Series(column, dtype="str")})) == {}
    assert "attribute tone is left out, expected two values with 10 pictures" in caplog.text


def test_more_than_8_attributes_are_refused() -> None:
    columns = pd.DataFrame({f"a{number}": ["x"] * 10 + ["y"] * 10 for number in range(9)})
    assert len(attributes.list_values(columns.drop(columns="a8"))) == 8
    with pytest.raises(DataError, match="9 attributes .*, expected at most 8; name the attributes to learn in prepare"):
        attributes.list_values(columns)


def test_more_than_50_values_are_refused() -> None:
    values = np.repeat([f"v{number:02}" for number in range(51)], 10)
    assert len(attributes.list_values(pd.DataFrame({"tone": values[:500]}))["tone"]) == 50
    with pytest.raises(DataError, match="attribute tone has 51 values, expected at most 50"):
        attributes.list_values(pd.DataFrame({"tone": values}))
