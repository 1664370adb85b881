"""Purchase rates of segments: learnt from one half of the users and judged on the other."""

import numpy as np
import pytest

from adloom.audience import rates
from adloom.evaluation import statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Sample


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


def test_the_gap_is_to_the_better_of_recency_and_boosting() -> None:
    bought = np.array([1, 1, 0, 0], np.int8)
    segments = Sample((bought, np.array([0.5, 0.2, 0.2, 0.1])), statistics.auc, "auc")  # 3.5 of 4 pairs
    recency, boosting = np.array([1.0, 2, 3, 4]), np.array([0.0, 1, 2, 3])
    samples = rates.compare_auc(segments, recency, boosting)
    values = {name: sample.statistic(*sample.columns, np.ones(4)) for name, sample in samples.items()}
    assert values == {"recency_auc": 1.0, "boosting_auc": 0.0, "auc_gap": pytest.approx(0.125)}
