"""Counts of an experiment's decisions and their outcomes, by user and arm."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from adloom.arrays import AnyArray, Int64Array

OUTCOMES = ("click", "conversion", "complaint")  # kinds of feedback; of complaints, fewer is better
FAILURES = ("default", "slow")  # decisions without the model, and slow ones: fewer is better
GUARDRAILS = (*OUTCOMES, *FAILURES)


@dataclass(frozen=True)
class UserCounts:
    """The decisions of each user in an arm; those without a user share a row per arm."""

    arm: Int64Array  # (rows,) index
    user: Int64Array  # (rows,) number of the user, -1 without one
    decisions: AnyArray  # (rows,) all so far
    events: Mapping[str, AnyArray]  # GUARDRAILS: decisions (rows,) with it
    matured: AnyArray  # (rows,) decisions that are old enough for their outcomes
    goal: AnyArray  # (rows,) of these, with the goal

    def select(self, arms: list[int]) -> "UserCounts":
        """Return the rows of some arms."""
        rows = np.isin(self.arm, arms)
        events = {name: counts[rows] for name, counts in self.events.items()}
        return UserCounts(
            self.arm[rows], self.user[rows], self.decisions[rows], events, self.matured[rows], self.goal[rows]
        )
