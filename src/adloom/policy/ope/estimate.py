"""What a policy is estimated to earn, and whether the estimate's interval is to be believed."""

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np

from adloom.arrays import AnyArray

MIN_EVENTS = 5.0  # rewarded rows in the effective sample; fewer say too little of the value
MIN_HEAVY_EVENTS = (
    1.5  # rewarded rows among those that carry the variance; with fewer, intervals were measured too short
)
MAX_WEIGHT_ERRORS = 5.0  # standard errors between the mean weight and 1
MAX_UNSUPPORTED = 0.01  # probability that may lie on actions the log never took
TOP = 0.01  # share of rows whose part of the weight is shown


@dataclass(frozen=True)
class Estimate:
    """What a policy earns per row, in units of the reward, with its 95 % interval [low, high]."""

    value: float
    low: float
    high: float
    n: int  # rows
    effective_sample_size: float  # rows, of Kish: (sum of weights)^2 / sum of squared weights
    top_share: float  # of all weight, in the 1 % of rows with the largest
    why_not: str = ""  # why the interval is not to be trusted; empty when it is

    @property
    def trustworthy(self) -> bool:
        """Whether the interval is to be believed, by the rule of `doubt`."""
        return not self.why_not


def effective_sample_size(weight: AnyArray) -> float:
    """Return Kish's effective sample size of weights (rows,) in rows; 0 where all are 0."""
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def top_share(weight: AnyArray) -> float:
    """Return the share of the weight (rows,) that lies in the 1 % of rows (rounded up) with the largest weights."""
    top, total = ceil(TOP * len(weight)), float(weight.sum())
    return float(np.partition(weight, -top)[-top:].sum()) / total if total else 0.0


def effective_events(weight: AnyArray, rewarded: int) -> float:
    """Return how many rewarded rows the effective sample of weights (rows,) holds, at the log's own rate of them."""
    return effective_sample_size(weight) * rewarded / len(weight)


def heavy_events(weight: AnyArray, rewarded: int) -> float:
    """
    Return how many rewarded rows are to be expected among the rows that carry the variance.

    That is Kish's effective sample size of the squared weights (rows,), at the log's own rate of rewarded rows. Below
    one, the heaviest weights have likely never met a reward, and nothing in the log shows how far they would move it.
    """
    return effective_sample_size(weight**2) * rewarded / len(weight)


def find_weight_issue(weight: AnyArray) -> str:
    """Return how far the mean weight (rows,) is from 1 where chance does not explain it, "" where it does."""
    mean, error = float(weight.mean()), float(weight.std()) / sqrt(len(weight))
    if abs(mean - 1) <= MAX_WEIGHT_ERRORS * error + 1e-6:
        return ""
    return f"the mean weight is {mean:.3f}, expected 1: the propensities are wrong or the log lacks actions"


def find_reliability_issue(weight: AnyArray, rewarded: int, unsupported: float = 0.0) -> str:
    """
    Return why an interval from these weights (rows,) is not to be trusted, "" when it is.

    The rule looks at the weights and at how many rows have a reward, never at which. An interval is trusted when at
    most 1 % of the policy's probability lies on actions the log never took, the mean weight is within 5 standard errors
    of 1, the effective sample holds at least 5 rewarded rows, and the rows that carry the variance at least 1.5.
    """
    if unsupported > MAX_UNSUPPORTED:
        return f"{unsupported:.1%} of the policy's probability lies on actions the log never took"
    if wrong := find_weight_issue(weight):
        return wrong
    if (events := effective_events(weight, rewarded)) < MIN_EVENTS:
        return f"the effective sample holds {events:.1f} rewarded rows, expected at least {MIN_EVENTS:g}"
    if (heavy := heavy_events(weight, rewarded)) < MIN_HEAVY_EVENTS:
        return f"the heaviest weights met {heavy:.1f} rewarded rows or so, expected at least {MIN_HEAVY_EVENTS:g}"
    return ""
