"""A policy's terms, by hand."""

import numpy as np
import pytest

from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.reward_model import CrossFit
from adloom.policy.ope.terms import Log, PolicyTerms, ProbabilityBatch, collect_terms

ROWS = np.arange(4)
PLACE = np.array([0, 0, 1, 1])
TABLES = np.array([[[0.1, 0.2, 0.4], [0.5, 0.5, 0.5]]])


def collect(parts: list[slice], counts: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)) -> PolicyTerms:
    """Evaluate (x 0.5, y 0.5) at place 0 and (x 0.25, z 0.75) at place 1, on a log of x, y, x and x."""
    log = Log(
        ("x", "y", "z"), np.array([0, 1, 1, 1]), np.zeros(4), np.ones(4), PLACE, PLACE, Clusters(np.array(counts), ROWS)
    )
    batches = []
    for part in parts:
        places, context = np.unique(PLACE[part], return_inverse=True)
        action = np.concatenate([[[0, 1], [0, 2]][place] for place in places])
        probability = np.concatenate([[[0.5, 0.5], [0.25, 0.75]][place] for place in places])
        batches.append(ProbabilityBatch(ROWS[part], context, 2 * np.arange(len(places) + 1), action, probability))
    return collect_terms(log, batches, CrossFit(TABLES, np.ones((1, 4), np.float32), PLACE))


@pytest.mark.parametrize("parts", [[slice(4)], [slice(1), slice(1, 3), slice(3, 4)]])
def test_terms_by_hand(parts: list[slice]) -> None:
    result = collect(parts)
    assert result.target.tolist() == [0.5, 0.5, 0, 0]  # y is no candidate at place 1
    assert result.expected == pytest.approx([0.15, 0.15, 0.5, 0.5])
    assert result.share == pytest.approx([0.375, 0.25, 0.375])
    assert result.support.unsupported_actions == {"z": 0.375, "x": 0.125}  # x is logged at place 0 only


def test_means_are_per_impression() -> None:
    assert collect([slice(4)], (1.0, 1.0, 4.0, 2.0)).share == pytest.approx([(1 + 1.5) / 8, 1 / 8, 4.5 / 8])
