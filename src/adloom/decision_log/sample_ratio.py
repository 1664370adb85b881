"""
A test that chosen creatives are as frequent as their logged probabilities say.

Each creative bets against its probability p: a stake s multiplies a fortune by e^s / (1 - p + p e^s) in a decision that
chooses it, and by 1 / (1 - p + p e^s) in another. If decisions are drawn from their probabilities, the mean of all
fortunes is 1 in expectation, also if probabilities depend on earlier outcomes, so it reaches 1 / alpha with a
probability of at most alpha (Ville 1939). The test is exact for every size of the log.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np

from adloom.arrays import AnyArray, Float64Array
from adloom.decision_log.record import Decision

ALPHA = 0.001  # probability of an alarm in a sound log
MIN_DECISIONS = 1000  # with fewer, a wrong draw is hardly visible
STAKES = np.concatenate([sign * np.geomspace(0.002, 4, 12) for sign in (-1, 1)])  # in log odds
BATCH = 2**14  # candidates


@dataclass(frozen=True)
class Mismatch:
    """A creative, or an arm, that is chosen more or less often than its probability says."""

    name: str
    chosen: int
    expected: float


@dataclass(frozen=True)
class SampleRatio:
    """The result of a test, and the names that deviate, the strongest first."""

    p_value: float
    mismatches: Sequence[Mismatch]


def compare(names: Sequence[str], chosen: AnyArray, expected: AnyArray, fortunes: AnyArray) -> SampleRatio:
    """Return the test's result from the log fortunes (names, stakes) and the counts (names,)."""
    if not len(names):
        return SampleRatio(1.0, [])
    own = _log_mean(fortunes, axis=1)
    p_value = min(exp(-max(float(_log_mean(own, axis=0)), 0.0)), 1.0)
    suspects = [i for i in np.argsort(-own, kind="stable").tolist() if own[i] >= -log(ALPHA)]
    return SampleRatio(p_value, [Mismatch(names[i], int(chosen[i]), float(expected[i])) for i in suspects])


def bet(chosen: AnyArray, decisions: AnyArray, probability: AnyArray) -> Float64Array:
    """Return the log fortunes (names, stakes) of names that were `chosen` in a number of equal decisions (names,)."""
    lost = np.log1p(probability[:, None] * np.expm1(STAKES))
    return np.asarray(chosen[:, None] * STAKES - decisions[:, None] * lost, np.float64)


def _log_mean(values: AnyArray, axis: int) -> AnyArray:
    """Return the logarithm of the mean of e^values."""
    largest = values.max(axis, keepdims=True)
    return np.asarray(np.log(np.exp(values - largest).mean(axis)) + largest.squeeze(axis))


class CreativeCounter:
    """Counts the creatives of first slots, by placement."""

    def __init__(self) -> None:
        self.decisions = 0
        self._number: defaultdict[tuple[str, str], int] = defaultdict(lambda: len(self._number))
        self._waiting: tuple[list[int], list[float], list[bool]] = ([], [], [])
        self._counts = np.zeros((0, 2 + len(STAKES)))  # chosen, expected, log fortunes

    def add(self, decision: Decision) -> None:
        """Add a sound decision that chooses a creative."""
        self.decisions += 1
        names, probabilities, chosen = self._waiting
        names += [self._number[decision.placement, creative] for creative in decision.candidates]
        probabilities += decision.probabilities
        chosen += [creative == decision.chosen[0] for creative in decision.candidates]
        if len(names) >= BATCH:
            self._count()

    def compare(self) -> SampleRatio:
        """Return the test's result, without evidence for fewer than MIN_DECISIONS."""
        self._count()
        names = [f"{creative} in {placement}" for placement, creative in self._number]
        if self.decisions < MIN_DECISIONS:
            return SampleRatio(1.0, [])
        return compare(names, self._counts[:, 0], self._counts[:, 1], self._counts[:, 2:])

    def _count(self) -> None:
        number, probability, chosen = map(np.array, self._waiting)
        self._waiting = ([], [], [])
        counts = np.zeros((len(self._number), self._counts.shape[1]))
        counts[: len(self._counts)] = self._counts
        if len(number):
            columns = np.column_stack([chosen, probability, bet(chosen, np.ones(len(number)), probability)])
            for i, column in enumerate(columns.T):
                counts[:, i] += np.bincount(number, column, len(counts))
        self._counts = counts
