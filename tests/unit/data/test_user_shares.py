"""One user with a large share of rows, clicks or value is worth a warning; a few users of about equal share are not."""

import numpy as np
import pandas as pd
import pytest

from adloom.data import user_shares
from adloom.data.privacy import pseudonymise
from adloom.data.user_shares import UserSharesCheck

KEY = b"a key for tests only"
WHALE = pseudonymise("whale", KEY)


def rows(*users: str | None, **columns: list[float]) -> pd.DataFrame:
    ids = pd.Series([user and pseudonymise(user, KEY) for user in users], dtype="str")
    return pd.DataFrame({"user_id": ids, **columns})


def many(count: int) -> list[str]:
    return [f"u{number}" for number in range(count)]


def warnings(*chunks: pd.DataFrame) -> list[str]:
    check = UserSharesCheck()
    for chunk in chunks:
        check.count(chunk)
    return check.warnings()


def test_half_of_all_rows_are_flagged_over_chunks() -> None:
    found = warnings(*[rows("whale", user) for user in many(40)])
    assert len(found) == 1
    assert found[0].startswith(f"user_id: one user has 50% of all rows (pseudonym {WHALE[:16]}…)")


def test_clicks_and_value_are_looked_at_alone() -> None:
    users, zeros = [*many(40), "whale"], [0.0] * 40
    clicked = warnings(rows(*users, *users[:40], clicked=[*zeros, 1.0] + [1.0] * 40, value=[1.0] * 81))
    assert clicked == []
    assert "40% of all value" in warnings(rows(*users, value=[1.5] * 40 + [40.0]))[0]
    assert "50% of all clicks" in warnings(*[rows(*many(10), *["whale"] * 10, clicked=[1.0] * 20)])[1]


@pytest.mark.parametrize(
    "table", [rows(), rows(None, None), rows("ann"), rows("ann", "ann", "bob"), rows(*many(7)), rows(*many(300))]
)
def test_small_tables_and_equal_shares_are_not_flagged(table: pd.DataFrame) -> None:
    assert warnings(table) == []


def test_few_clicks_are_no_large_share() -> None:
    assert warnings(rows(*many(300), clicked=[1.0, 1.0, 1.0] + [0.0] * 297)) == []


def test_a_row_counts_as_often_as_its_weight_says() -> None:
    weighted = rows(*many(30), weight=[30.0] + [1.0] * 29, clicked=[1.0] * 30)
    assert [text[:37] for text in warnings(weighted)] == [
        "user_id: one user has 51% of all rows",
        "user_id: one user has 51% of all clic",
    ]


def test_negative_values_do_not_count() -> None:
    assert warnings(rows(*many(30), value=[-500.0] + [1.0] * 29)) == []


def test_the_memory_is_bounded_and_the_largest_users_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_shares, "MAX_USERS", 30)
    rng = np.random.default_rng(0)
    check = UserSharesCheck()
    for _ in range(40):
        check.count(rows(*[f"u{user}" for user in rng.integers(0, 10_000, 12)], *["whale"] * 4))
        assert len(check._by_user) <= 30
    assert "has 25% of all rows" in check.warnings()[0]
