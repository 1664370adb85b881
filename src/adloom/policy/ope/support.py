"""Support: which actions a policy would take although the log never did; on those no log can say anything."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adloom.arrays import AnyArray


@dataclass(frozen=True)
class Support:
    """Actions of the policy that the log never took, with the probability that lies on each; largest first."""

    never_taken: dict[str, float]  # mean over rows

    @property
    def unsupported(self) -> float:
        """The probability that lies on all of them, in [0, 1]."""
        return sum(self.never_taken.values())

    def __str__(self) -> str:
        """Return the finding as one line."""
        if not self.never_taken:
            return "the log took every action of the policy"
        named = ", ".join(f"{action} ({mass:.1%})" for action, mass in list(self.never_taken.items())[:10])
        more = f" and {len(self.never_taken) - 10} more" if len(self.never_taken) > 10 else ""
        return f"the log never took {named}{more}, on which {self.unsupported:.1%} of the policy's probability lies"


def measure_support(
    action: AnyArray, probabilities: AnyArray, actions: Sequence[str], place: AnyArray | None = None
) -> Support:
    """
    Return the actions the log never took although the policy would.

    action (rows,) is the column of the logged action in probabilities (rows, actions); `place` (rows,), such as the
    placement as whole numbers from 0, asks the same within each of its values, where an action may be known at one
    place and never taken at another. An action never taken at a place counts with the probability it has there.
    """
    where = np.zeros(len(action), np.int64) if place is None else place
    taken = np.zeros((int(where.max()) + 1, len(actions)), bool)
    taken[where, action] = True
    mass = np.where(taken[where], 0.0, probabilities).mean(0)
    order = [index for index in np.argsort(-mass, kind="stable") if mass[index] > 0]
    return Support({actions[index]: float(mass[index]) for index in order})
