"""Terms of a policy in each row of a log, from batches of its probabilities."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from adloom.arrays import AnyArray, BoolArray, Float64Array, Int64Array, IntegerArray
from adloom.errors import DataError
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.reward_model import CrossFit, Rates
from adloom.policy.ope.support import Support, measure_support


@dataclass(frozen=True)
class Log:
    """The columns of a log (rows,)."""

    actions: tuple[str, ...]
    action: IntegerArray  # index into actions
    reward: Float64Array
    propensity: Float64Array
    cell: IntegerArray  # index of the reward model's context
    place: IntegerArray  # index of the place within which support is checked
    clusters: Clusters
    propensity_estimated: bool = False

    @property
    def rates(self) -> Rates:
        """The model of rewards by context and action."""
        return Rates(self.cell, self.action, self.reward, len(self.actions))


@dataclass(frozen=True)
class ProbabilityBatch:
    """A policy's probabilities in some contexts. Rows of one context share their candidates and probabilities."""

    rows: Int64Array  # (batch rows,) index into the log
    context: Int64Array  # (batch rows,) index of the row's context
    starts: Int64Array  # (contexts + 1,) into the candidates
    action: IntegerArray  # (candidates,) ascending within a context
    probability: Float64Array  # (candidates,)


@dataclass(frozen=True)
class PolicyTerms:
    """A policy's terms per row, and its means over impressions."""

    target: Float64Array  # (rows,) probability of the logged action
    expected: Float64Array  # (rows,) predicted reward under the policy
    share: Float64Array  # (actions,) mean probability
    support: Support


def collect_terms(log: Log, batches: Iterable[ProbabilityBatch], predicted: CrossFit) -> PolicyTerms:
    """Sum up a policy's batches, which cover each row once. Raises DataError for invalid probabilities."""
    target, expected = np.zeros(len(log.action)), np.zeros(len(log.action))
    share, unsupported = np.zeros(len(log.actions)), np.zeros(len(log.actions))
    logged = _find_logged(log)
    for batch in batches:
        _check_probabilities(batch)
        sizes = np.diff(batch.starts)
        first = np.zeros(len(sizes), np.int64)  # a row of each context
        first[batch.context[::-1]] = batch.rows[::-1]
        target[batch.rows] = _look_up(batch, sizes, log)
        expected[batch.rows] = _expect(batch, log.cell[first].repeat(sizes), predicted)
        counts = np.bincount(batch.context, log.clusters.counts[batch.rows]).repeat(sizes)
        mass = batch.probability * counts
        np.add.at(share, batch.action, mass)
        lacking = ~logged[log.place[first].repeat(sizes), batch.action]
        np.add.at(unsupported, batch.action[lacking], mass[lacking])
    total = log.clusters.total
    return PolicyTerms(target, expected, share / total, measure_support(unsupported / total, log.actions))


def _find_logged(log: Log) -> BoolArray:
    """Return which actions the log has in each place (places, actions)."""
    logged = np.zeros((int(log.place.max(initial=0)) + 1, len(log.actions)), bool)
    logged[log.place, log.action] = True
    return logged


def _look_up(batch: ProbabilityBatch, sizes: Int64Array, log: Log) -> AnyArray:
    """Return the probability of each row's logged action (batch rows,), 0 if it is no candidate."""
    actions = len(log.actions)
    keys = np.arange(len(sizes)).repeat(sizes) * actions + batch.action  # ascending
    wanted = batch.context * actions + log.action[batch.rows]
    position = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[position] == wanted, batch.probability[position], 0.0)


def _expect(batch: ProbabilityBatch, cell: IntegerArray, predicted: CrossFit) -> AnyArray:
    """Return the predicted reward under the policy (batch rows,)."""
    result = np.zeros(len(batch.rows))
    for table, share in zip(predicted.tables, predicted.share, strict=True):
        by_context = np.add.reduceat(table[cell, batch.action] * batch.probability, batch.starts[:-1])
        result += share[batch.rows] * by_context[batch.context]
    return result


def _check_probabilities(batch: ProbabilityBatch) -> None:
    starts = batch.starts[:-1]
    total, least = (kind.reduceat(batch.probability, starts) for kind in (np.add, np.minimum))
    is_valid = ((least >= 0) & (abs(total - 1) < 1e-6))[batch.context]
    if not is_valid.all():
        first = int(np.argmin(is_valid))
        raise DataError(
            f"probabilities: {total[batch.context[first]]} in row {batch.rows[first]} (and "
            f"{len(is_valid) - is_valid.sum() - 1} more), expected non-negative with sum 1"
        )
