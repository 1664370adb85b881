"""
The policies that compete, each as arrays of the one scorer: uniform, what the log did, click rates, and a linear model.

All scores are on one scale: the logarithm of how much better than the average of its placement a creative does. So a
creative without history, whose score is its prior, stands in the right place among the others, and at temperature 1 a
creative is shown in proportion to its odds of a click.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import betaln

from adloom.arrays import Float64Array, Int64Array
from adloom.policy.feature_space import Feature, FeatureSpace
from adloom.policy.impressions import Impressions
from adloom.policy.scorer import Policy

STRENGTHS = 2.0 ** np.arange(21)  # of the prior of a click rate, in impressions, that are tried
PLACEMENT: tuple[Feature, ...] = (("placement",),)


@dataclass(frozen=True)
class Categories:
    """The category of creatives, where one is known."""

    names: tuple[str, ...] = ()
    of: Mapping[str, str] = field(default_factory=dict)  # creative: its category

    def index(self, creatives: tuple[str, ...]) -> Int64Array:
        """Return each creative's category (creatives,) as an index into names, len(names) where it has none."""
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
    """Return the policy of temperature 1 and no floor that scores the creatives of the data so."""
    return Policy(
        creatives=data.creatives,
        category=categories.index(data.creatives),
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
    """Return the policy that shows every candidate alike."""
    nothing = np.zeros(len(data.creatives))
    return build_policy(data, categories, FeatureSpace((), ()), nothing, [], np.zeros(len(categories.names) + 1))


def fit_logging(data: Impressions, categories: Categories) -> Policy:
    """
    Return what the log did, as far as its frequencies tell: how often each creative was shown in each position.

    One impression more than there was of each keeps what was never shown; what is new is shown as often as the average.
    """
    space = FeatureSpace.of(data, (("placement", "position"),) if "position" in data.context else PLACEMENT)
    shown = _count_cells(space.rows(data.context)[0], data.shown, (len(space.values[0]) + 1, len(data.creatives)))
    possible = np.zeros_like(shown, bool)
    for chosen, row in set(zip(data.offered.tolist(), space.rows(data.context)[0].tolist(), strict=True)):
        possible[row, data.sets[chosen]] = True
    average = (shown + possible).sum(1) / np.maximum(possible.sum(1), 1)
    score = np.log((shown + 1) / np.maximum(average, 1)[:, None])
    score[0], score[~possible] = 0.0, 0.0
    return build_policy(
        data, categories, space, np.zeros(len(data.creatives)), [score], np.zeros(len(categories.names) + 1)
    )


def fit_rates(data: Impressions, categories: Categories) -> Policy:
    """
    Return smoothed click rates per creative and placement, relative to the placement's own.

    Empirical Bayes: in a placement, creatives' rates are drawn from a beta distribution around the placement's rate
    times what the category does; its strength, the same everywhere, is the likeliest (beta-binomial). Needs a click.
    """
    space = FeatureSpace.of(data, PLACEMENT)
    place = space.rows(data.context)[0]
    shape = (len(space.values[0]) + 1, len(data.creatives))
    shown, clicked = _count_cells(place, data.shown, shape), _count_cells(place, data.shown, shape, data.clicked)
    overall = data.clicked.mean()
    rate = (clicked.sum(1) + overall) / (shown.sum(1) + 1)  # of each placement; never 0
    strength = _fit_strength(clicked, shown, rate)
    expected = shown * rate[:, None]
    mass = strength * overall  # expected clicks that the prior is worth
    of = categories.index(data.creatives)
    prior = _shrink_ratio(
        _sum_by_category(clicked.sum(0), of, categories), _sum_by_category(expected.sum(0), of, categories), mass, 1.0
    )
    prior[-1] = 1.0
    own = _shrink_ratio(clicked.sum(0), expected.sum(0), mass, prior[of])
    placed = np.where(shown > 0, _shrink_ratio(clicked, expected, strength * rate[:, None], prior[of]), own)
    placed[0] = own
    return build_policy(data, categories, space, np.log(own), [np.log(placed / own)], np.log(prior))


def _shrink_ratio(clicked: Any, expected: Any, mass: Any, prior: Any) -> Float64Array:
    """Return clicks over expected clicks, shrunk towards the prior."""
    return np.asarray((clicked + mass * prior) / (expected + mass))


def _fit_strength(clicked: Float64Array, shown: Float64Array, rate: Float64Array) -> float:
    """Return the likeliest strength of the prior, in impressions, of STRENGTHS; counts (placements, creatives)."""
    seen = shown > 0
    hits, misses = clicked[seen], (shown - clicked)[seen]
    mean = np.broadcast_to(rate[:, None], shown.shape)[seen]

    def likelihood(strength: float) -> float:
        a, b = strength * mean, strength * (1 - mean)
        return float((betaln(a + hits, b + misses) - betaln(a, b)).sum())

    return float(max(STRENGTHS, key=likelihood))


def _count_cells(
    row: Int64Array, column: Int64Array, shape: tuple[int, int], weights: Float64Array | None = None
) -> Float64Array:
    flat = np.bincount(row * shape[1] + column, weights, minlength=shape[0] * shape[1])
    return np.asarray(flat.reshape(shape), float)


def _sum_by_category(values: Float64Array, of: Int64Array, categories: Categories) -> Float64Array:
    return np.asarray(np.bincount(of, values, minlength=len(categories.names) + 1), float)
