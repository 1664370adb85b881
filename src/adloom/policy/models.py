"""
The competing policies, as arrays of one scorer.

A score is the log of a creative's performance relative to its placement's average.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from adloom.arrays import Float64Array, Int32Array, Int64Array
from adloom.policy.feature_space import Feature, FeatureSpace
from adloom.policy.impressions import Impressions
from adloom.policy.row_groups import group_rows
from adloom.policy.scorer import Policy
from adloom.policy.shrinkage import Ratios

MIN_NOISE = 1e-9  # variance over mean of rewards, if all are alike
PLACEMENT: tuple[Feature, ...] = (("placement",),)


@dataclass(frozen=True)
class Categories:
    """The known categories of creatives."""

    names: tuple[str, ...] = ()
    of: Mapping[str, str] = field(default_factory=dict)  # creative: its category

    @classmethod
    def from_policy(cls, policy: Policy) -> Self:
        """Return the categories that a policy knows."""
        pairs = zip(policy.creatives, policy.category.tolist(), strict=True)
        return cls(policy.categories, {c: policy.categories[i] for c, i in pairs if i < len(policy.categories)})

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
    Return smoothed rewards per creative and placement, relative to the placement's mean reward.

    A creative is shrunk to its category, and its ratio in a placement to its own.
    """
    space = FeatureSpace.from_impressions(data, PLACEMENT)
    placement = space.row_indices(data)[0]
    shape = (len(space.values[0]) + 1, len(data.creatives))
    shown, reward = (
        _count_cells(placement, data.shown, shape, counts) for counts in (data.weight, data.reward * data.weight)
    )
    overall = data.total_reward / data.count
    rate = (reward.sum(1) + overall) / (shown.sum(1) + 1)  # per placement; never 0
    noise = float((data.weight * data.reward**2).sum()) / data.total_reward - overall
    ratios = Ratios.fit(
        reward,
        shown * rate[:, None],
        categories.indices(data.creatives),
        len(categories.names) + 1,
        max(noise, MIN_NOISE),
    )
    weights = np.log(ratios.by_placement / ratios.own)
    weights[0] = 0.0
    return build_policy(data, categories, space, np.log(ratios.own), [weights], np.log(ratios.prior))


def _count_cells(row: Int64Array, column: Int32Array, shape: tuple[int, int], counts: Float64Array) -> Float64Array:
    flat = np.bincount(row * shape[1] + column, counts, minlength=shape[0] * shape[1])
    return np.asarray(flat.reshape(shape), float)
