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


def measure_support(unsupported: AnyArray, actions: Sequence[str]) -> Support:
    """Return the actions with probability where the log lacks them, by their means (actions,)."""
    order = [index for index in np.argsort(-unsupported, kind="stable") if unsupported[index] > 0]
    return Support({actions[index]: float(unsupported[index]) for index in order})
