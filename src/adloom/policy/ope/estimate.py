"""Off-policy estimates and the reliability of their intervals."""

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np

from adloom.arrays import AnyArray

MIN_EVENTS = 5.0  # rewarded rows in the effective sample
MIN_HEAVY_EVENTS = 1.5  # rewarded rows among those that carry the variance; fewer gave short intervals in simulations
MAX_WEIGHT_ERRORS = 5.0  # standard errors between the mean weight and 1
MAX_UNSUPPORTED = 0.01  # probability on actions that are not in the log
TOP = 0.01  # share of rows in `top_share`


@dataclass(frozen=True)
class Estimate:
    """A policy's value per row, with its 95 % interval [low, high]."""

    value: float
    low: float
    high: float
    n: int  # rows
    effective_sample_size: float  # rows, of Kish: (sum of weights)^2 / sum of squared weights
    top_share: float  # share of the weight in the 1 % of rows with the largest weights
    reliability_issue: str = ""  # empty if the interval is reliable

    @property
    def trustworthy(self) -> bool:
        """Whether the interval is reliable."""
        return not self.reliability_issue


def effective_sample_size(weight: AnyArray) -> float:
    """Return Kish's effective sample size of weights (rows,)."""
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def top_share(weight: AnyArray) -> float:
    """Return the weight's share in the heaviest 1 % of rows."""
    top, total = ceil(TOP * len(weight)), float(weight.sum())
    return float(np.partition(weight, -top)[-top:].sum()) / total if total else 0.0


def effective_events(weight: AnyArray, rewarded: int) -> float:
    """Return the rewarded rows in the effective sample."""
    return effective_sample_size(weight) * rewarded / len(weight)


def heavy_events(weight: AnyArray, rewarded: int) -> float:
    """Return the expected rewarded rows among those that carry the variance."""
    return effective_sample_size(weight**2) * rewarded / len(weight)


def find_weight_issue(weight: AnyArray) -> str:
    """Return an issue if the mean weight differs from 1 beyond chance, or ""."""
    mean, error = float(weight.mean()), float(weight.std()) / sqrt(len(weight))
    if abs(mean - 1) <= MAX_WEIGHT_ERRORS * error + 1e-6:
        return ""
    return f"the mean weight is {mean:.3f}, expected 1: propensities are wrong or actions are missing in the log"


def find_reliability_issue(weight: AnyArray, rewarded: int, unsupported: float = 0.0) -> str:
    """Return why an interval from weights (rows,) is unreliable, or ""."""
    if unsupported > MAX_UNSUPPORTED:
        return f"{unsupported:.1%} of the policy's probability is on actions that are not in the log"
    if issue := find_weight_issue(weight):
        return issue
    if (events := effective_events(weight, rewarded)) < MIN_EVENTS:
        return f"the effective sample holds {events:.1f} rewarded rows, expected at least {MIN_EVENTS:g}"
    if (heavy := heavy_events(weight, rewarded)) < MIN_HEAVY_EVENTS:
        return f"the heaviest weights have about {heavy:.1f} rewarded rows, expected at least {MIN_HEAVY_EVENTS:g}"
    return ""
