"""
Shrinkage of ratios of observed to expected rewards, for creatives, their categories and their placements.

Ratios of one level vary around their parents. The method of moments estimates how much (DerSimonian and Laird 1986),
so strengths need no grid, and a creative that ran in one placement only is compared with the others there.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from adloom.arrays import AnyArray, Float64Array, Int64Array


@dataclass(frozen=True)
class Ratios:
    """Ratios of rewards to those expected from the placements' rates alone."""

    by_placement: Float64Array  # (placements, creatives)
    own: Float64Array  # (creatives,)
    prior: Float64Array  # (categories + 1,) of a new creative; the last is for an unknown category
    spread: float  # standard deviation of creatives around their category's ratio

    @classmethod
    def fit(cls, reward: AnyArray, expected: AnyArray, group: Int64Array, groups: int, noise: float) -> Self:
        """
        Shrink ratios of rewards (placements, creatives) to those of the creative, of its category, and of all.

        `group` (creatives,) is the category's number; `noise` is the variance of rewards over their mean.
        """
        total, expectation = reward.sum(0), expected.sum(0)
        share = _divide(expected, expected.sum(1, keepdims=True))  # of a placement
        variance = _fit_own_variance(total, expectation, (expected * share).sum(0), group, noise)
        prior = _fit_prior(total, expectation, group, groups, noise, variance)
        own = shrink(total, expectation, variance, noise, prior[group])
        free = (1 - share) * (1 - _divide(expected, expectation))
        deviation = _divide(reward, expected) - _divide(total, expectation)
        by_placement = shrink(reward, expected, estimate_variance(deviation, expected, free, noise), noise, own)
        return cls(by_placement, own, prior, variance**0.5)


def estimate_variance(deviation: AnyArray, expected: AnyArray, free: AnyArray, noise: float) -> float:
    """
    Return the variance of true ratios from the deviations of observed ones from their mean.

    A ratio varies by noise / expected; `free` is its share of degrees of freedom, after the mean was fitted.
    """
    information = float((expected * free).sum())
    excess = float((expected * deviation**2).sum()) - noise * float(free[expected > 0].sum())
    return max(excess / information, 0.0) if information > 0 else 0.0


def shrink(reward: AnyArray, expected: AnyArray, variance: float, noise: float, parent: AnyArray) -> Float64Array:
    """Return the most likely ratios, given their variance around their parents."""
    return np.asarray((variance * reward + noise * parent) / (variance * expected + noise))


def _fit_own_variance(
    total: AnyArray, expected: AnyArray, in_placement: AnyArray, group: Int64Array, noise: float
) -> float:
    """Return the variance of creatives' ratios around their category's."""
    by_group, reward = (np.bincount(group, values) for values in (expected, total))
    free = 1 - _divide(in_placement, expected)
    rest = 1 - expected / expected.sum()
    free *= _divide(1 - _divide(expected, by_group[group]), rest)
    return estimate_variance(_divide(total, expected) - _divide(reward, by_group)[group], expected, free, noise)


def _fit_prior(
    total: AnyArray, expected: AnyArray, group: Int64Array, groups: int, noise: float, variance: float
) -> Float64Array:
    """Return the ratio of a new creative of each category; every creative counts, not every impression."""
    certainty = 1 / (noise + variance * expected)
    weight, weighted = (np.bincount(group, values * certainty, groups) for values in (expected, total))
    overall = weighted.sum() / weight.sum()
    free = 1 - weight / weight.sum()
    between = estimate_variance(_divide(weighted, weight) - overall, weight, free, 1.0)
    prior = shrink(weighted, weight, between, 1.0, np.full(groups, overall))
    prior[-1] = overall if groups > 1 else prior[-1]
    return prior


def _divide(values: AnyArray, by: AnyArray) -> Float64Array:
    """Return quotients, 0 where the divisor is 0."""
    shape = np.broadcast_shapes(values.shape, by.shape)
    return np.divide(values, by, out=np.zeros(shape), where=np.broadcast_to(by, shape) != 0)
