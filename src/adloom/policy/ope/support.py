"""Actions of a policy that the log lacks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adloom.arrays import AnyArray


@dataclass(frozen=True)
class Support:
    """The policy's mean probability of each action that the log lacks."""

    unsupported_actions: dict[str, float]  # mean over rows

    @property
    def unsupported(self) -> float:
        """The total probability on these actions."""
        return sum(self.unsupported_actions.values())

    def __str__(self) -> str:
        """Return one line of text."""
        if not self.unsupported_actions:
            return "the log has every action of the policy"
        named = ", ".join(f"{action} ({mass:.1%})" for action, mass in list(self.unsupported_actions.items())[:10])
        more = f" and {len(self.unsupported_actions) - 10} more" if len(self.unsupported_actions) > 10 else ""
        return f"the log lacks {named}{more} with {self.unsupported:.1%} of the policy's probability"


def measure_support(
    action: AnyArray, probabilities: AnyArray, actions: Sequence[str], group: AnyArray | None = None
) -> Support:
    """
    Return the actions that the policy takes but the log lacks, within each `group` (rows,).

    action (rows,) indexes probabilities (rows, actions).
    """
    groups = np.zeros(len(action), np.int64) if group is None else group
    logged = np.zeros((int(groups.max()) + 1, len(actions)), bool)
    logged[groups, action] = True
    mass = np.where(logged[groups], 0.0, probabilities).mean(0)
    order = [index for index in np.argsort(-mass, kind="stable") if mass[index] > 0]
    return Support({actions[index]: float(mass[index]) for index in order})
