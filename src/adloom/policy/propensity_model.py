"""
Estimated propensities of a log without them.

In each placement, a conditional logit (McFadden 1974) says which of an impression's candidates is shown, from its
context and its day. It is cross-fitted: the model of an impression has not seen any of the same user.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from adloom.arrays import AnyArray, BoolArray, Float64Array, Int32Array, Int64Array
from adloom.policy.candidate_sets import CandidateSets
from adloom.policy.impressions import Impressions
from adloom.policy.ope.terms import Log
from adloom.policy.row_groups import group_rows

FOLDS = 5
RIDGE = 1.0  # prior precision of the coefficients
MAX_LEVELS = 50  # of a context column; rarer values are one level
MIN_ROWS = 20  # of a level, or of a creative on a day
MAX_CELLS = 2**22  # groups times creatives of a placement in memory; with more, the model is fitted to a sample
LOWEST = 1e-6
SUFFICIENT = "sufficient"
DETERMINISTIC = 0.9  # median propensity
MAX_ITERATIONS = 200


@dataclass(frozen=True)
class Choices:
    """Impressions of one placement, grouped by context, day and candidates."""

    features: sparse.csr_matrix  # (groups, features), an intercept first
    offered: Int32Array  # (groups,) index into sets
    sets: CandidateSets
    creatives: Int64Array  # of the placement, ascending
    group: Int64Array  # (rows,)
    action: Int64Array  # (rows,) index into creatives

    def find_allowed(self, groups: Int64Array) -> BoolArray:
        """Return which creatives are candidates (groups, creatives)."""
        starts, candidates = self.sets.gather(self.offered[groups])
        allowed = np.zeros((len(groups), len(self.creatives)), bool)
        allowed[np.arange(len(groups)).repeat(np.diff(starts)), np.searchsorted(self.creatives, candidates)] = True
        return allowed


@dataclass(frozen=True)
class Overlap:
    """How evenly a placement shows its creatives in equal contexts, by the estimated propensities."""

    placement: str
    impressions: int
    creatives: int
    median: float  # propensity
    low: float  # propensity that 1 % of the impressions are below

    @property
    def finding(self) -> str:
        """Whether the log can tell what other creatives would have earned."""
        if self.median < DETERMINISTIC or self.creatives == 1:
            return SUFFICIENT
        return "lacking: most contexts nearly always show one creative"


def find_overlap(data: Impressions) -> list[Overlap]:
    """Return the overlap of each placement."""
    placement = data.context["placement"]
    result = []
    for number in np.unique(placement.codes).tolist():
        rows = data.select(np.flatnonzero(placement.codes == number))
        low, median = np.quantile(rows.propensity, [0.01, 0.5])
        creatives = len(np.unique(rows.shown))
        result.append(Overlap(str(placement.categories[number]), rows.count, creatives, float(median), float(low)))
    return result


def describe_overlap(data: Impressions) -> str:
    """Return a line about estimated propensities, with the placements that lack overlap."""
    lacking = [overlap.placement for overlap in find_overlap(data) if overlap.finding != SUFFICIENT]
    line = "they are estimated, and intervals are wider"
    return (
        f"{line}; overlap is lacking in {', '.join(lacking)}, where the log cannot tell creatives apart"
        if lacking
        else line
    )


def estimate_propensities(data: Impressions, seed: int = 0) -> Impressions:
    """Return impressions with estimated propensities in place of all of theirs."""
    propensity = np.ones(len(data))
    fold = _draw_folds(data, np.random.default_rng(seed))
    placement = data.context["placement"].codes
    with threadpool_limits(limits=1, user_api="blas"):
        for number in np.unique(placement):
            rows = np.flatnonzero(placement == number)
            propensity[rows] = _estimate_placement(data.select(rows), fold[rows])
    return replace(data, propensity=propensity, propensity_estimated=np.ones(len(data), bool))


def estimate_in_log(log: Log, context: pd.DataFrame) -> Log:
    """Return a log with estimated propensities, from columns of its context; a place offers all that it shows."""
    rows = len(log.action)
    shown = [np.unique(log.action[log.place == place]) for place in range(int(log.place.max()) + 1)]
    starts = np.concatenate([[0], np.cumsum([len(actions) for actions in shown])])
    columns = context.assign(placement=log.place)
    data = Impressions(
        log.actions,
        {str(name): pd.Categorical(columns[name]) for name in columns},
        CandidateSets(starts, np.concatenate(shown).astype(np.int32)),
        offered=log.place.astype(np.int32),
        shown=log.action.astype(np.int32),
        reward=log.reward,
        propensity=log.propensity,
        propensity_estimated=np.ones(rows, bool),
        weight=np.asarray(log.clusters.counts, np.float64),
        user=log.clusters.users.astype(np.int32),
        timestamp=np.zeros(rows, "datetime64[us]"),
    )
    return replace(log, propensity=estimate_propensities(data).propensity, propensity_estimated=True)


def _draw_folds(data: Impressions, rng: np.random.Generator) -> Int64Array:
    """Return each row's fold; all rows of a known user are in one."""
    of_user = rng.integers(FOLDS, size=int(data.user.max(initial=-1)) + 1)
    fold = rng.permutation(np.arange(len(data)) % FOLDS)
    known = data.user >= 0
    fold[known] = of_user[data.user[known]]
    return fold


def _estimate_placement(data: Impressions, fold: Int64Array) -> Float64Array:
    choices = _group_choices(data)
    step = -(-len(choices.offered) * len(choices.creatives) // MAX_CELLS)
    sampled = choices.group % step == 0
    start = _fit(choices, data.weight * sampled, None)
    result = np.empty(len(data))
    for number in range(FOLDS):
        held = np.flatnonzero(fold == number)
        coefficients = _fit(choices, data.weight * (sampled & (fold != number)), start)
        result[held] = _predict(choices, coefficients, held)
    return result.clip(LOWEST, 1.0)


def _group_choices(data: Impressions) -> Choices:
    offered, of_row = np.unique(data.offered, return_inverse=True)
    creatives = np.unique(data.sets.gather(offered)[1]).astype(np.int64)
    columns = [_find_levels(values.codes + 1) for name, values in data.context.items() if name != "placement"]
    columns.append(_number_days(data, len(creatives)))
    group, first = group_rows([of_row, *columns])
    parts = [np.ones((len(first), 1)), *(_one_hot(column[first]) for column in columns)]
    action = np.searchsorted(creatives, data.shown)
    return Choices(sparse.hstack(parts).tocsr(), data.offered[first], data.sets, creatives, group, action)


def _find_levels(codes: AnyArray) -> Int64Array:
    """Return the level of each value: 0 for a rare one, else from 1 by frequency."""
    counts = np.bincount(codes)
    order = np.argsort(-counts, kind="stable")[: MAX_LEVELS - 1]
    level = np.zeros(len(counts), np.int64)
    frequent = order[counts[order] >= MIN_ROWS]
    level[frequent] = np.arange(1, len(frequent) + 1)
    return np.asarray(level[codes])


def _number_days(data: Impressions, creatives: int) -> Int64Array:
    """Return the number of each row's day, or of several days together where each would have few impressions."""
    start, end = data.timestamp.min(), data.timestamp.max()
    days = int((end - start) / np.timedelta64(1, "D")) + 1
    bins = max(min(days, len(data) // (MIN_ROWS * creatives), MAX_LEVELS), 1)
    share = (data.timestamp - start) / (end - start + np.timedelta64(1, "us"))
    return np.asarray((share * bins).astype(np.int64))


def _one_hot(column: Int64Array) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(len(column)), (np.arange(len(column)), column)))


def _fit(choices: Choices, weight: AnyArray, start: AnyArray | None) -> Float64Array:
    """Return coefficients (features, creatives) of the rows' weights (rows,)."""
    used, number = np.unique(choices.group[weight > 0], return_inverse=True)
    counts = np.zeros((len(used), len(choices.creatives)))
    np.add.at(counts, (number, choices.action[weight > 0]), weight[weight > 0])
    features, allowed, total = choices.features[used], choices.find_allowed(used), counts.sum()
    shape = (features.shape[1], counts.shape[1])

    def loss(flat: AnyArray) -> tuple[float, AnyArray]:
        coefficients = flat.reshape(shape)
        logits = _log_chances(features @ coefficients, allowed)
        residual = counts.sum(1, keepdims=True) * np.exp(logits) - counts
        value = RIDGE / 2 * (flat**2).sum() - (counts * np.where(allowed, logits, 0.0)).sum()
        return float(value / total), (features.T @ residual + RIDGE * coefficients).ravel() / total

    first = np.zeros(shape) if start is None else start
    options = {"maxiter": MAX_ITERATIONS, "ftol": 1e-9, "gtol": 1e-7}
    return np.asarray(minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options=options).x).reshape(shape)


def _predict(choices: Choices, coefficients: AnyArray, rows: Int64Array) -> Float64Array:
    """Return the probability of what rows show (rows,)."""
    groups, number = np.unique(choices.group[rows], return_inverse=True)
    order, result = np.argsort(number, kind="stable"), np.empty(len(rows))
    step = max(MAX_CELLS // len(choices.creatives), 1)
    bounds = np.searchsorted(number[order], np.arange(0, len(groups) + step, step))
    for start, (first, last) in zip(range(0, len(groups), step), pairwise(bounds), strict=True):
        part = groups[start : start + step]
        logits = _log_chances(choices.features[part] @ coefficients, choices.find_allowed(part))
        chosen = order[first:last]
        result[chosen] = np.exp(logits[number[chosen] - start, choices.action[rows[chosen]]])
    return result


def _log_chances(score: AnyArray, allowed: BoolArray) -> AnyArray:
    """Return the log probabilities of the allowed creatives, -inf for others (groups, creatives)."""
    score = np.where(allowed, score, -np.inf)
    score -= score.max(1, keepdims=True)
    return np.asarray(score - np.log(np.exp(score).sum(1, keepdims=True)))
