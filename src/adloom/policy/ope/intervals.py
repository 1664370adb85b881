"""
Intervals for a mean of importance-weighted rewards, most of which are zero.

At a click rate of 0.5 % a log of 10,000 rows holds 50 clicks, each with its own weight: nearer to a weighted sum of
Poisson counts than to a normal mean. Three things make the textbook interval too short there, and each is mended:

1. The variance comes from the few rows that were clicked; a heavy weight that was never clicked counts nothing, though
   it could have been. The weights of the other rows are known, so the variance (and the third cumulant) is at least
   what it were if rewards did not depend on the weight: mean(w^2) * (sum of w e^2) / (sum of w), e being what w
   multiplies.
2. The sampling distribution is skewed. Its quantiles are those of the shifted gamma distribution with the same first
   three cumulants (Pearson's type III), as Fay and Feuer 1997 ("Confidence intervals for directly standardized rates")
   take a gamma for weighted sums of Poisson counts.
3. The variance grows with the mean. So the interval holds the means under which what was seen is no surprise (Wilson
   1927 does so for a share): under a mean m the variance is that of the estimate times m / value, where rewards are not
   negative; else it stays.

docs/how-to/policy.md has how often these intervals hold the truth, beside those that did not.
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaincinv

from adloom.arrays import AnyArray

TAIL = 0.025  # on each side of a 95 % interval
MIN_SKEWNESS = 1e-3  # a skewness below it is taken for this one: the quantiles differ from the normal ones by 1e-4


@dataclass(frozen=True)
class Cumulants:
    """Of an estimate: its value (the mean), and the second and third cumulant of its sampling distribution."""

    value: float
    variance: float
    third: float

    @property
    def skewness(self) -> float:
        """Third cumulant in units of the standard deviation; 0 without any spread."""
        return self.third / self.variance**1.5 if self.variance > 0 else 0.0


def cumulants(weight: AnyArray, residual: AnyArray, base: AnyArray | float = 0.0) -> Cumulants:
    """
    Return the cumulants of mean(base + weight * residual).

    weight (rows,) not negative, residual (rows,) in units of the reward: the reward itself for inverse propensity
    scoring, what a model left over for the doubly robust estimator, whose expectation under the policy is base (rows,).
    """
    rows, weighted = len(weight), weight * residual
    terms = base + weighted
    value = float(terms.mean())
    variance = float(terms.var(ddof=min(1, rows - 1)) + _unseen(weight, residual, 2))
    away = terms - value
    third = float((away * away * away).mean() + _unseen(weight, residual, 3))
    return Cumulants(value, variance / rows, third / rows**2)


def _unseen(weight: AnyArray, residual: AnyArray, power: int) -> float:
    """Return what mean((weight * residual) ** power) lacks of its value with rewards that do not depend on weights."""
    total = float(weight.sum())
    if not total:
        return 0.0
    weights, residuals = (np.prod([values] * power, axis=0) for values in (weight, residual))
    typical = float((weight * residuals).sum()) / total
    lacking = float(weights.mean()) * typical - float((weights * residuals).mean())
    return lacking if lacking * typical > 0 else 0.0


def interval(of: Cumulants, positive: bool) -> tuple[float, float]:
    """Return the 95 % interval of an estimate; `positive` says that no reward is negative."""
    if of.variance <= 0:
        return of.value, of.value
    if not positive or of.value <= 0:
        deviation = sqrt(of.variance)
        return tuple(of.value - deviation * quantile(of.skewness, p) for p in (1 - TAIL, TAIL))  # type: ignore[return-value]
    highest = 2 * of.value
    while _surprise(highest, of, TAIL) < 0:
        highest *= 2
    return _root(of.value * 1e-9, of, 1 - TAIL), _root(highest, of, TAIL)


def _root(other: float, of: Cumulants, p: float) -> float:
    """Return the mean between the value and `other` whose p quantile is the value."""
    if _surprise(of.value, of, p) * _surprise(other, of, p) >= 0:  # so skewed that even the mean is a rare estimate
        return of.value
    return float(brentq(_surprise, *sorted((of.value, other)), (of, p)))


def _surprise(mean: float, of: Cumulants, p: float) -> float:
    """Return the quantile of estimates under a mean, less the estimate that was seen; it grows with the mean."""
    ratio = mean / of.value
    return mean + sqrt(of.variance * ratio) * quantile(of.skewness / sqrt(ratio), p) - of.value


def quantile(skewness: float, p: float) -> float:
    """Return the p quantile of Pearson's type III distribution with mean 0, variance 1 and this skewness."""
    if skewness < 0:
        return -quantile(-skewness, 1 - p)
    shape = 4 / max(skewness, MIN_SKEWNESS) ** 2
    return float((gammaincinv(shape, p) - shape) / sqrt(shape))


def zero_event_bound(weight: AnyArray) -> float:
    """Return how large the mean of weighted clicks could be where none of the rows was clicked (97.5 %)."""
    return -log(TAIL) * float(np.max(weight)) / len(weight)
