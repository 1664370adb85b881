"""Purchases and value after a day per segment, without refunds, and the share that bought."""

import numpy as np
import pandas as pd
import pytest

from adloom.audience.assignment import SUPPRESSED
from adloom.audience.outcomes import Outcomes, tabulate_outcomes

USERS = pd.DataFrame({"purchases": [2, 1, 0, 0], "value": [30.3, 0.0, 0.0, 0.0], "valued": [2, 2, 0, 0]})


def add_up(segment: list[int], segments: int, users: pd.DataFrame = USERS) -> Outcomes:
    return Outcomes.sum([users[:1], users[1:]], np.array(segment), segments)


def test_segments_have_means_with_intervals() -> None:
    table = tabulate_outcomes(add_up([0, 0, 2, 2], 3), ("a", "b", "c"))
    assert table.header == ["segment", "customers", "purchases per customer", "value per customer"]
    assert table.rows[0] == ["a", 2, "1.50 (0.52 to 2.48)", "15.15 (-14.54 to 44.84)"]  # 1.5 and 1.96 x 0.5
    assert table.rows[1] == ["c", 2, "0.00 (0.00 to 0.00)", "0.00 (0.00 to 0.00)"]


def test_rates_are_shares_of_buyers() -> None:
    rates = add_up([0, 0, 0, 2], 3).measure_rates(("a", "b", "c"))
    assert list(rates) == ["a", "c", "all"]
    assert [rates[name].value for name in rates] == pytest.approx([2 / 3, 0, 0.5])
    assert (rates["all"].n, rates["all"].unit) == (4, "share")
    assert 0 < rates["c"].high < 1


def test_users_of_suppressed_segments_have_no_row() -> None:
    table = tabulate_outcomes(add_up([0, 0, 1, 1], 2), ("a", SUPPRESSED))
    assert [row[0] for row in table.rows] == ["a"]


def test_events_without_values_have_conversions_alone() -> None:
    outcomes = add_up([0] * 4, 1, USERS.assign(valued=0))
    assert outcomes.value is None
    assert tabulate_outcomes(outcomes, ("a",)).header[-1] == "purchases per customer"
