"""The lift of a policy over the logged decisions as the log grows, with intervals that hold at all times together."""

from typing import NamedTuple

import numpy as np

from adloom.arrays import AnyArray, DatetimeArray
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.estimators import importance_weights
from adloom.policy.ope.promotion_test import ALPHA, count_lifts, largest_loss, lower_bound

POINTS = 16  # at equal numbers of rows


class LiftPoint(NamedTuple):
    """The mean lift of the rows so far, in rewards per impression, with its 95 % interval over all points."""

    time: np.datetime64  # of the last row
    value: float
    low: float
    high: float

    def scale(self, unit: float) -> "LiftPoint":
        """Return the point in other units: `unit` is the worth of a reward of 1."""
        return LiftPoint(self.time, self.value * unit, self.low * unit, self.high * unit)


def trace_lift(
    reward: AnyArray, propensity: AnyArray, target: AnyArray, time: DatetimeArray, clusters: Clusters
) -> list[LiftPoint]:
    """Return the lift after growing parts of a log in time order; target (rows,) is the policy's probability."""
    weight, one = importance_weights(reward, propensity, target), np.ones(1)
    terms = (weight - 1) * reward
    loss, gain = largest_loss(np.zeros(1), one, reward), largest_loss(one, weight, reward)
    points = []
    for end in np.unique(np.ceil(np.linspace(0, len(terms), POINTS + 1)[1:]).astype(int)):
        part = Clusters(clusters.counts[:end], clusters.users[:end])
        lifts, losses = count_lifts(terms[:end], part), count_lifts(-terms[:end], part)
        low, high = lower_bound(lifts, loss, ALPHA / 2), -lower_bound(losses, gain, ALPHA / 2)
        points.append(LiftPoint(time[end - 1], lifts.value, low, high))
    return points
