"""Purchase rates of segments: learnt from one half of the users and judged on the other."""

import numpy as np
import pytest

from adloom.audience import rates
from adloom.evaluation.intervals import bootstrap


def test_rates_come_from_one_half_and_are_judged_on_the_other() -> None:
    segment = np.array([0, 0, 1, 1, 2, 0, 1, 2])
    learn = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool)
    bought = np.array([1, 1, 1, 0, 1, 0, 1, 1], bool)
    sample = rates.rate_auc(segment, bought, learn)
    assert sample.columns[0].tolist() == [1, 0, 1, 1]
    assert sample.columns[1].tolist() == [0.75, 1.0, 0.5, 0.75]  # segment 2 is unseen: the rate of all
    assert bootstrap(sample, 20, 0).value == 0


@pytest.mark.parametrize("everybody", [True, False])
def test_an_auc_needs_buyers_and_others(everybody: bool) -> None:
    bought = np.full(4, everybody)
    assert not rates.rate_auc(np.zeros(4, int), bought, np.array([1, 1, 0, 0], bool)).defined
    assert not rates.rate_auc(np.zeros(4, int), bought, np.ones(4, bool)).defined
