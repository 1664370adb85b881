"""Off-policy estimates and the reliability of their intervals."""

from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Self

import numpy as np

from adloom.arrays import AnyArray
from adloom.policy.ope.clusters import Clusters

MIN_EVENTS = 5.0  # rewarded rows in the effective sample
MIN_HEAVY_EVENTS = 1.5  # rewarded rows among those that carry the variance; fewer gave short intervals in simulations
MAX_WEIGHT_ERRORS = 5.0  # standard errors between the mean weight and 1
MAX_UNSUPPORTED = 0.01  # probability on actions that are not in the log
MAX_USER_SHARE = 0.2  # of the rewarded rows; as few as 5 users may be behind an interval
WIDENING = 1.25  # of intervals with estimated propensities
TOP = 0.01  # share of impressions in `top_share`


@dataclass(frozen=True)
class Estimate:
    """A policy's value per impression, with its 95 % interval [low, high]."""

    value: float
    low: float
    high: float
    n: int  # impressions
    effective_sample_size: float  # impressions, of Kish: (sum of weights)^2 / sum of squared weights
    top_share: float  # share of the weight in the 1 % of impressions with the largest weights
    reliability_issue: str = ""  # empty if the interval is reliable

    @property
    def trustworthy(self) -> bool:
        """Whether the interval is reliable."""
        return not self.reliability_issue

    def scale(self, unit: float) -> Self:
        """Return the estimate in other units: `unit` is the worth of 1."""
        return replace(self, value=self.value * unit, low=self.low * unit, high=self.high * unit)


def effective_sample_size(weight: AnyArray, clusters: Clusters) -> float:
    """Return Kish's effective sample size of weights (rows,)."""
    squares = float((clusters.counts * weight**2).sum())
    return float((clusters.counts * weight).sum()) ** 2 / squares if squares else 0.0


def top_share(weight: AnyArray, clusters: Clusters) -> float:
    """Return the weight's share in the heaviest 1 % of impressions."""
    order = np.argsort(-weight, kind="stable")
    counts, heaviest = clusters.counts[order], weight[order]
    taken = np.clip(ceil(TOP * clusters.total) - (np.cumsum(counts) - counts), 0, counts)
    total = float((counts * heaviest).sum())
    return float((taken * heaviest).sum()) / total if total else 0.0


def effective_events(weight: AnyArray, rewarded: float, clusters: Clusters) -> float:
    """Return the rewarded rows in the effective sample."""
    return effective_sample_size(weight, clusters) * rewarded / clusters.total


def heavy_events(weight: AnyArray, rewarded: float, clusters: Clusters) -> float:
    """Return the expected rewarded rows among those that carry the variance."""
    return effective_sample_size(weight**2, clusters) * rewarded / clusters.total


def find_weight_issue(weight: AnyArray, clusters: Clusters) -> str:
    """Return an issue if the mean weight differs from 1 beyond chance, or ""."""
    mean = clusters.mean(weight)
    error = sqrt(clusters.mean((weight - mean) ** 2) / clusters.total)
    if abs(mean - 1) <= MAX_WEIGHT_ERRORS * error + 1e-6:
        return ""
    return f"the mean weight is {mean:.3f}, expected 1: propensities are wrong or actions are missing in the log"


def find_user_issue(reward: AnyArray, clusters: Clusters) -> str:
    """Return an issue if one user has too many of the rewarded rows, or ""."""
    share = clusters.largest_share(reward)
    if share <= MAX_USER_SHARE:
        return ""
    return f"one user has {share:.0%} of the rewarded rows, expected at most {MAX_USER_SHARE:.0%}"


def find_reliability_issue(
    weight: AnyArray, reward: AnyArray, unsupported: float = 0.0, clusters: Clusters | None = None
) -> str:
    """Return why an interval from weights (rows,) is unreliable, or ""."""
    clusters = clusters or Clusters.single(len(weight))
    if unsupported > MAX_UNSUPPORTED:
        return f"{unsupported:.1%} of the policy's probability is on actions that are not in the log"
    if issue := find_weight_issue(weight, clusters) or find_user_issue(reward, clusters):
        return issue
    rewarded = clusters.count_rewarded(reward)
    if (events := effective_events(weight, rewarded, clusters)) < MIN_EVENTS:
        return f"the effective sample holds {events:.1f} rewarded rows, expected at least {MIN_EVENTS:g}"
    if (heavy := heavy_events(weight, rewarded, clusters)) < MIN_HEAVY_EVENTS:
        return f"the heaviest weights have about {heavy:.1f} rewarded rows, expected at least {MIN_HEAVY_EVENTS:g}"
    return ""
