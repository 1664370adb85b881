"""Names in several spellings are warned of, as they count as different names."""

import pandas as pd
import pytest

from adloom.data.spellings import SpellingCheck


@pytest.mark.parametrize(
    ("first", "second"), [("Bag", "bag"), ("caf\u00e9", "cafe\u0301"), ("red bag", "red  bag"), ("\uff22ag", "Bag")]
)
def test_two_spellings_of_one_name_are_warned_of(first: str, second: str) -> None:
    check = SpellingCheck()
    for name in (first, "Shoe", second):
        check.count(pd.DataFrame({"category": [name, None]}))
    (warning,) = check.warnings()
    assert warning.endswith("count as different names: 1, such as " + " and ".join(map(repr, sorted([first, second]))))


def test_events_and_placements_are_compared_and_other_columns_are_not() -> None:
    check = SpellingCheck()
    check.count(pd.DataFrame({"event": ["Purchase", "purchase"], "placement": ["top", "TOP"], "user_id": ["a", "A"]}))
    assert [warning.partition(":")[0] for warning in check.warnings()] == ["event", "placement"]


def test_different_names_are_not_warned_of() -> None:
    check = SpellingCheck()
    check.count(pd.DataFrame({"category": ["Bag", "Bags", "Bag"]}))
    assert check.warnings() == []
