"""
The competing policies, as arrays of one scorer.

A score is the log of a creative's performance relative to its placement's average.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import betaln

from adloom.arrays import Float64Array, Int32Array, Int64Array
from adloom.policy.feature_space import Feature, FeatureSpace
from adloom.policy.impressions import Impressions
from adloom.policy.row_groups import group_rows
from adloom.policy.scorer import Policy

STRENGTHS = 2.0 ** np.arange(21)  # candidate strengths of a click rate's prior, in impressions
PLACEMENT: tuple[Feature, ...] = (("placement",),)


@dataclass(frozen=True)
class Categories:
    """The known categories of creatives."""

    names: tuple[str, ...] = ()
    of: Mapping[str, str] = field(default_factory=dict)  # creative: its category

    def indices(self, creatives: tuple[str, ...]) -> Int64Array:
        """Return creatives' indices into names, len(names) if unknown."""
        number = {name: i for i, name in enumerate(self.names)}
        return np.array([number.get(self.of.get(creative, ""), len(self.names)) for creative in creatives], np.int64)


def build_policy(
    data: Impressions,
    categories: Categories,
    space: FeatureSpace,
    bias: Float64Array,
    weights: list[Float64Array],
    prior: Float64Array,
) -> Policy:
    """Return a policy of these scores, with temperature 1 and no floor."""
    return Policy(
        creatives=data.creatives,
        category=categories.indices(data.creatives),
        categories=categories.names,
        bias=bias.astype(np.float32),
        features=space.features,
        values=space.values,
        weights=tuple(weight.astype(np.float32) for weight in weights),
        prior=prior.astype(np.float32),
        temperature=1.0,
        floor=0.0,
    )


def fit_uniform(data: Impressions, categories: Categories) -> Policy:
    """Return the uniform policy."""
    zeros = np.zeros(len(data.creatives))
    return build_policy(data, categories, FeatureSpace((), ()), zeros, [], np.zeros(len(categories.names) + 1))


def fit_logging(data: Impressions, categories: Categories) -> Policy:
    """Return the log's frequencies per position, smoothed by one impression."""
    space = FeatureSpace.from_impressions(
        data, (("placement", "position"),) if "position" in data.context else PLACEMENT
    )
    row = space.row_indices(data)[0]
    shown = _count_cells(row, data.shown, (len(space.values[0]) + 1, len(data.creatives)), data.weight)
    possible = np.zeros_like(shown, bool)
    for i in group_rows([data.offered, row])[1].tolist():
        possible[row[i], data.sets[data.offered[i]]] = True
    average = (shown + possible).sum(1) / np.maximum(possible.sum(1), 1)
    score = np.log((shown + 1) / np.maximum(average, 1)[:, None])
    score[0], score[~possible] = 0.0, 0.0
    return build_policy(
        data, categories, space, np.zeros(len(data.creatives)), [score], np.zeros(len(categories.names) + 1)
    )


def fit_rates(data: Impressions, categories: Categories) -> Policy:
    """
    Return smoothed click rates per creative and placement, relative to the placement's rate.

    Empirical Bayes with beta priors around the placement's rate times the category's effect.
    """
    space = FeatureSpace.from_impressions(data, PLACEMENT)
    placement = space.row_indices(data)[0]
    shape = (len(space.values[0]) + 1, len(data.creatives))
    shown, clicked = (
        _count_cells(placement, data.shown, shape, counts) for counts in (data.weight, data.reward * data.weight)
    )
    overall = data.total_reward / data.count
    rate = (clicked.sum(1) + overall) / (shown.sum(1) + 1)  # per placement; never 0
    strength = _fit_strength(clicked, shown, rate)
    expected = shown * rate[:, None]
    mass = strength * overall  # weight of the prior, in expected clicks
    group = categories.indices(data.creatives)
    prior = _shrink_ratio(
        _sum_by_category(clicked.sum(0), group, categories),
        _sum_by_category(expected.sum(0), group, categories),
        mass,
        1.0,
    )
    prior[-1] = 1.0
    own = _shrink_ratio(clicked.sum(0), expected.sum(0), mass, prior[group])
    by_placement = np.where(shown > 0, _shrink_ratio(clicked, expected, strength * rate[:, None], prior[group]), own)
    by_placement[0] = own
    return build_policy(data, categories, space, np.log(own), [np.log(by_placement / own)], np.log(prior))


def _shrink_ratio(clicked: Any, expected: Any, mass: Any, prior: Any) -> Float64Array:
    """Return clicks over expected clicks, shrunk to the prior."""
    return np.asarray((clicked + mass * prior) / (expected + mass))


def _fit_strength(clicked: Float64Array, shown: Float64Array, rate: Float64Array) -> float:
    """Return the most likely of STRENGTHS; counts are (placements, creatives)."""
    observed = shown > 0
    hits, misses = clicked[observed], (shown - clicked)[observed]
    mean = np.broadcast_to(rate[:, None], shown.shape)[observed]

    def likelihood(strength: float) -> float:
        a, b = strength * mean, strength * (1 - mean)
        return float((betaln(a + hits, b + misses) - betaln(a, b)).sum())

    return float(max(STRENGTHS, key=likelihood))


def _count_cells(row: Int64Array, column: Int32Array, shape: tuple[int, int], counts: Float64Array) -> Float64Array:
    flat = np.bincount(row * shape[1] + column, counts, minlength=shape[0] * shape[1])
    return np.asarray(flat.reshape(shape), float)


def _sum_by_category(values: Float64Array, group: Int64Array, categories: Categories) -> Float64Array:
    return np.asarray(np.bincount(group, values, minlength=len(categories.names) + 1), float)
