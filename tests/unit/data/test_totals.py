"""Rows of totals are found by their name or their value."""

import pandas as pd
import pytest

from adloom.data.totals import TotalCheck, are_total_words


def warnings(values: list[float | None], ids: list[str | None] | None = None) -> list[str]:
    check = TotalCheck()
    users = pd.Series(ids or [f"u{i}" for i in range(len(values))], dtype="str")
    rows = pd.DataFrame({"user_id": users, "value": pd.Series(values, dtype="float64")})
    for start in range(0, len(rows), 2):
        check.count(rows[start : start + 2], users[start : start + 2])
    return check.warnings()


WORDS = [
    "Total",
    "TOTAL:",
    " Summe ",
    "Gesamt",
    "Σ",
    "∑",
    "Grand total",
    "合計",
    "*Total*",
    "Total: Campaigns",
    "Total (3)",
]


@pytest.mark.parametrize("word", WORDS)
def test_words_for_totals_are_known(word: str) -> None:
    others = ["Anna Total", "Totality", "sum41", "total wine", None]
    assert are_total_words(pd.Series([word, *others], dtype="str"), "user_id").tolist() == [True, *[False] * 5]


def test_all_is_a_total_of_creatives_alone() -> None:
    words = pd.Series(["all", "All variants", "OVERALL", "Alle", "total", "all-in", "overalls", "all day"], dtype="str")
    assert are_total_words(words, "creative_id").tolist() == [True] * 5 + [False] * 3
    assert are_total_words(words, "placement").tolist() == [False] * 4 + [True] + [False] * 3


def test_a_row_that_is_named_a_total_is_worth_a_warning() -> None:
    found = "user_id Total looks like a total (rows: 1); remove it from the source if it is one"
    assert warnings([1, 1, 9], ["ann", "Total", "bob"]) == [found]


def test_invalid_rows_are_totals_by_any_column() -> None:
    raw = pd.DataFrame({"day": ["Total", "Total", "--"], "user_id": ["", "ann", "Summe"], "value": [1, 2, 3]})
    check = TotalCheck()
    found = check.find_invalid(raw, pd.Series(["timestamp: missing", "", "timestamp: missing"]))
    assert found.tolist() == [True, False, True]
    assert check.warnings() == ["rows that are named like a total were dropped: 2"]


def test_a_value_that_is_the_sum_of_all_others_is_worth_a_warning() -> None:
    found = ["value 0.6 is the sum of all others; remove its row if it is a total"]
    assert warnings([0.1, 0.2, 0.3, 0.6]) == found
    assert warnings([None, 0.6, 0.3, 0.3]) == found


@pytest.mark.parametrize("values", [[5, 5], [1, 2, 4], [0, 0, 0, 0], [], [None, None, None], [2, 0, 2]])
def test_other_values_are_not(values: list[float | None]) -> None:
    assert warnings(values) == []


def test_creatives_and_placements_are_no_totals_either() -> None:
    check = TotalCheck()
    rows = pd.DataFrame({"creative_id": ["c", "Total"], "placement": ["home", "Summe"]}, dtype="str")
    check.count(rows, pd.Series([None, None], dtype="str"))
    assert [text.partition(" looks")[0] for text in check.warnings()] == ["creative_id Total", "placement Summe"]


def impressions_warnings(*lines: tuple[str, str, int]) -> list[str]:
    rows = pd.DataFrame(lines, columns=["timestamp", "creative_id", "weight"]).astype({"weight": "Int64"})
    check = TotalCheck()
    for number in range(len(rows)):  # each row in a chunk of its own
        check.count(rows[number : number + 1], pd.Series([None] * len(rows), dtype="str"))
    return check.warnings()


DAYS = (("1", "a", 30), ("1", "a", 70), ("1", "b", 50), ("1", "x", 150), ("2", "a", 10), ("2", "b", 5))


def test_impressions_that_are_the_sum_of_their_day_are_worth_a_warning() -> None:
    found = "creative_id x: its impressions are the sum of all others at the same time; remove its rows if they are"
    assert impressions_warnings(*DAYS, ("2", "x", 15)) == [f"{found} totals"]
    assert impressions_warnings(*DAYS) == [f"{found} totals"]


def test_a_sum_on_some_days_alone_is_none() -> None:
    assert impressions_warnings(*DAYS, ("2", "x", 16)) == []
    assert impressions_warnings(("1", "a", 5), ("1", "b", 5)) == []
