"""Rows of totals are found by their name or their value."""

import pandas as pd
import pytest

from adloom.data.totals import TotalCheck, are_total_words


def warnings(values: list[float | None], ids: list[str | None] | None = None) -> list[str]:
    check = TotalCheck()
    users = pd.Series(ids or [f"u{i}" for i in range(len(values))], dtype="str")
    rows = pd.DataFrame({"value": pd.Series(values, dtype="float64")})
    for start in range(0, len(rows), 2):
        check.count(rows[start : start + 2], users[start : start + 2])
    return check.warnings()


@pytest.mark.parametrize("word", ["Total", "TOTAL:", " Summe ", "Gesamt", "Σ", "∑", "Grand total", "合計", "*Total*"])
def test_words_for_totals_are_known(word: str) -> None:
    assert are_total_words(pd.Series([word, "Anna Total", "Totality", None], dtype="str")).tolist() == [
        *(True, False, False, False)
    ]


def test_a_row_that_is_named_a_total_is_worth_a_warning() -> None:
    assert warnings([1, 1, 9], ["ann", "Total", "bob"]) == ["user_id Total: 1 rows look like a total; remove them"]


def test_a_value_that_is_the_sum_of_all_others_is_worth_a_warning() -> None:
    found = ["value: 0.6 of one row is the sum of all others; remove the row if it is a total"]
    assert warnings([0.1, 0.2, 0.3, 0.6]) == found
    assert warnings([None, 0.6, 0.3, 0.3]) == found


@pytest.mark.parametrize("values", [[5, 5], [1, 2, 4], [0, 0, 0, 0], [], [None, None, None], [2, 0, 2]])
def test_other_values_are_not(values: list[float | None]) -> None:
    assert warnings(values) == []


def test_creatives_and_placements_are_no_totals_either() -> None:
    check = TotalCheck()
    rows = pd.DataFrame({"creative_id": ["c", "Total"], "placement": ["home", "Summe"]}, dtype="str")
    check.count(rows, pd.Series([None, None], dtype="str"))
    assert [text.partition(":")[0] for text in check.warnings()] == ["creative_id Total", "placement Summe"]
