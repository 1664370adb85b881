"""
Intervals for a mean of importance-weighted rewards, most of which are zero.

Rows of one user count as one draw (cluster-robust variance) where that is the larger variance. Normal intervals are too
short here. Three corrections: 1. The variance is at least that of rewards independent of the weights. 2. Quantiles come
from a shifted gamma distribution (Pearson III; Fay and Feuer 1997). 3. The interval contains the means under which the
estimate is not surprising (Wilson 1927). docs/how-to/policy.md has the measured coverage.
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaincinv

from adloom.arrays import AnyArray
from adloom.policy.ope.clusters import Clusters

TAIL = 0.025  # on each side of a 95 % interval
MIN_SKEWNESS = 1e-3  # lower bound: below it quantiles differ from normal ones by less than 1e-4


@dataclass(frozen=True)
class Cumulants:
    """The first three cumulants of an estimate's distribution."""

    value: float
    variance: float
    third: float

    @property
    def skewness(self) -> float:
        """The standardized third cumulant."""
        return self.third / self.variance**1.5 if self.variance > 0 else 0.0


def cumulants(
    weight: AnyArray, residual: AnyArray, base: AnyArray | float = 0.0, clusters: Clusters | None = None
) -> Cumulants:
    """Return the cumulants of mean(base + weight * residual); all (rows,). Rows of one user are one draw."""
    clusters = clusters or Clusters.single(len(weight))
    total, terms = clusters.total, base + weight * residual
    value = clusters.mean(terms)
    variance, third = _spread(terms - value, clusters)
    variance += _unseen(weight, residual, 2, clusters)
    third += _unseen(weight, residual, 3, clusters)
    return Cumulants(value, variance / total, third / total**2)


def _spread(deviation: AnyArray, clusters: Clusters) -> tuple[float, float]:
    """Return the variance and the third cumulant per impression: by user if that is more than by row."""
    total, drawn = clusters.total, clusters.count()
    squares = deviation * deviation
    variance = float((clusters.counts * squares).sum()) / max(total - 1, 1)
    by_user, cubes = clusters.power_sums(deviation)
    by_user *= drawn / max(drawn - 1, 1) / total
    if by_user > variance * (1 + 1e-9):
        return by_user, cubes / total
    return variance, clusters.mean(squares * deviation)


def _unseen(weight: AnyArray, residual: AnyArray, power: int, clusters: Clusters) -> float:
    """Return the addition of correction 1."""
    total = float((clusters.counts * weight).sum())
    if not total:
        return 0.0
    weights, residuals = (np.prod([values] * power, axis=0) for values in (weight, residual))
    typical = float((clusters.counts * (weight * residuals)).sum()) / total
    missing = clusters.mean(weights) * typical - clusters.mean(weights * residuals)
    return missing if missing * typical > 0 else 0.0


def interval(moments: Cumulants, positive: bool) -> tuple[float, float]:
    """Return the 95 % interval; `positive` means no negative rewards."""
    if moments.variance <= 0:
        return moments.value, moments.value
    if not positive or moments.value <= 0:
        deviation = sqrt(moments.variance)
        return tuple(moments.value - deviation * quantile(moments.skewness, p) for p in (1 - TAIL, TAIL))  # type: ignore[return-value]
    upper = 2 * moments.value
    while _surprise(upper, moments, TAIL) < 0:
        upper *= 2
    return _root(moments.value * 1e-9, moments, 1 - TAIL), _root(upper, moments, TAIL)


def _root(other: float, moments: Cumulants, p: float) -> float:
    """Return the mean with the value as its p quantile."""
    if _surprise(moments.value, moments, p) * _surprise(other, moments, p) >= 0:  # too skewed: the mean is rare, too
        return moments.value
    return float(brentq(_surprise, *sorted((moments.value, other)), (moments, p)))


def _surprise(mean: float, moments: Cumulants, p: float) -> float:
    """Return the quantile under a mean minus the actual estimate."""
    ratio = mean / moments.value
    return mean + sqrt(moments.variance * ratio) * quantile(moments.skewness / sqrt(ratio), p) - moments.value


def quantile(skewness: float, p: float) -> float:
    """Return a quantile of the standardized shifted gamma distribution."""
    if skewness < 0:
        return -quantile(-skewness, 1 - p)
    shape = 4 / max(skewness, MIN_SKEWNESS) ** 2
    return float((gammaincinv(shape, p) - shape) / sqrt(shape))


def zero_event_bound(weight: AnyArray, total: float) -> float:
    """Return the 97.5 % bound of the mean of `total` impressions without clicks."""
    return -log(TAIL) * float(np.max(weight)) / total
