"""Results of playing the world: measured and true click rates of people, and the regret."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from adloom.arrays import AnyArray
from adloom.evaluation.intervals import wilson_interval
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.estimators import snips
from adloom.world.simulator import Log, concatenate_logs

POINTS = 20  # of estimates over time


@dataclass(frozen=True)
class Results:
    """Click rates per impression of people; bots do not count."""

    hour: AnyArray  # (impressions,)
    clicked: AnyArray  # (impressions,)
    propensity: AnyArray  # (impressions,) of the creative shown
    shown: AnyArray  # (impressions,) true rate of the creative shown
    uniform: AnyArray  # (impressions,) true rate of uniform decisions
    best: AnyArray  # (impressions,) true rate of the best creative
    even: AnyArray  # (impressions,) probability of each creative in uniform decisions

    @classmethod
    def from_logs(cls, logs: Sequence[Log], bots: int) -> Self:
        """Collect the results of consecutive logs."""
        log = concatenate_logs(logs)
        people, rate = log.contexts.user >= bots, log.contexts.rate
        shown = rate[np.arange(len(rate)), log.action]
        even = 1 / log.contexts.running.sum(1)
        columns = (log.contexts.hour, log.reward, log.propensity, shown, rate.sum(1) * even, rate.max(1), even)
        return cls(*(column[people] for column in columns))

    @property
    def click_rate(self) -> tuple[float, float, float]:
        """The measured rate with its 95 % interval."""
        return float(self.clicked.mean()), *wilson_interval(int(self.clicked.sum()), len(self.clicked))

    @property
    def lift(self) -> float:
        """The true relative gain over uniform decisions."""
        return float(self.shown.mean() / self.uniform.mean() - 1)

    @property
    def share_of_best(self) -> float:
        """The share of the oracle's gain over uniform decisions that was reached."""
        gain = self.best.mean() - self.uniform.mean()
        return float((self.shown.mean() - self.uniform.mean()) / gain) if gain else 0.0

    def estimate_uniform(self) -> Estimate:
        """Estimate the rate of uniform decisions from the propensities in this log."""
        return snips(self.clicked, self.propensity, self.even)

    def estimate_over_time(self) -> tuple[AnyArray, list[Estimate], AnyArray]:
        """Return numbers of impressions, and of so many the estimate of uniform decisions and its true value."""
        ends = np.unique(np.linspace(0, len(self.hour), POINTS + 1)[1:].astype(int))
        ends = ends[ends > 0]
        estimates = [snips(self.clicked[:end], self.propensity[:end], self.even[:end]) for end in ends]
        return ends, estimates, np.array([self.uniform[:end].mean() for end in ends])

    def compute_regrets(self) -> dict[str, AnyArray]:
        """Return the clicks lost so far to the oracle (impressions,), by these and by uniform decisions."""
        return {"served": np.cumsum(self.best - self.shown), "uniform": np.cumsum(self.best - self.uniform)}
