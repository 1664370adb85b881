"""Experiments, and the counts of their arms."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adloom.decision_log.record import Decision
from adloom.experiments.counts import GUARDRAILS, UserCounts
from adloom.experiments.definition import Experiment, parse_arms

VERSIONS = {"champion": 1, "challenger": 2}


def experiment(arms: str = "champion=80,challenger=15,control=5", **changes: Any) -> Experiment:
    """Return an experiment that started at time 0; v3 is version 3."""
    parsed = parse_arms(arms, lambda name: VERSIONS.get(name) or int(name[1:]))
    return Experiment(**{"name": "new-policy", "key": "ab" * 16, "started": 0, "arms": parsed, **changes})


def count(decisions: Sequence[int], **events: Sequence[int]) -> UserCounts:
    """Return matured decisions without users and with these events, by arm."""
    total = np.array(decisions)
    of_kind = {name: np.array(events.get(name, [0] * len(total))) for name in GUARDRAILS}
    return UserCounts(np.arange(len(total)), np.full(len(total), -1), total, of_kind, total, of_kind["click"])


def in_arm(record: Decision) -> tuple[str | None, str | None, float | None]:
    """Return the experiment, the arm and its probability in a record."""
    return record.experiment, record.arm, record.arm_probability
