"""Users in the arms of experiments: users in several arms, and arms with too many or too few users."""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from math import fsum
from typing import NamedTuple

import numpy as np

from adloom.decision_log.record import Decision
from adloom.decision_log.sample_ratio import MIN_DECISIONS, Mismatch, SampleRatio
from adloom.decision_log.user_records import UserRecords
from adloom.evaluation.sample_ratio import sample_ratio_p_value

TOLERANCE = 1e-9


class LoggedArm(NamedTuple):
    """An arm of an experiment, as a decision logs it."""

    experiment: str
    name: str
    probability: float


class ArmUsers:
    """Numbers the arms of decisions from 1, and counts their users; each anonymous decision is a user of its own."""

    def __init__(self) -> None:
        self._number: dict[LoggedArm, int] = {}
        self._users: Counter[LoggedArm] = Counter()

    def get_number(self, decision: Decision) -> int:
        """Return the number of a decision's arm, 0 without an experiment."""
        if decision.experiment is None or decision.arm is None or decision.arm_probability is None:
            return 0
        arm = LoggedArm(decision.experiment, decision.arm, decision.arm_probability)
        if decision.user is None:
            self._users[arm] += 1
        return self._number.setdefault(arm, len(self._number) + 1)

    def add_users(self, records: UserRecords) -> Iterator[str]:
        """Count the users of some records; yield each user in several arms of an experiment."""
        arms = list(self._number)
        for user, pairs in groupby(records.list_arms().tolist(), key=lambda pair: pair[0]):
            seen = sorted(arms[number - 1] for _, number in pairs)
            for experiment, group in groupby(seen, key=lambda arm: arm.experiment):
                own = list(group)
                if names := sorted({arm.name for arm in own})[1:]:
                    yield f"user {records.format_name(user)}: {own[0].name}, {', '.join(names)} of {experiment}"
                else:
                    self._users[own[0]] += 1

    def compare(self) -> Iterator[tuple[str, SampleRatio]]:
        """Yield the test's result of each experiment with constant shares and at least MIN_DECISIONS users."""
        for experiment, group in groupby(sorted(self._users), key=lambda arm: arm.experiment):
            arms = list(group)
            if len({arm.name for arm in arms}) < len(arms) or sum(self._users[arm] for arm in arms) < MIN_DECISIONS:
                continue
            yield experiment, self._compare(arms)

    def _compare(self, arms: list[LoggedArm]) -> SampleRatio:
        rest = 1 - fsum(arm.probability for arm in arms)
        arms = [*arms, LoggedArm("", "arms without users", rest)] if rest > TOLERANCE else arms
        users = np.array([self._users[arm] for arm in arms])
        share = np.array([arm.probability for arm in arms])
        expected = users.sum() * share
        order = np.argsort(-abs(users - expected), kind="stable").tolist()
        mismatches = [Mismatch(arms[i].name, int(users[i]), float(expected[i])) for i in order]
        return SampleRatio(sample_ratio_p_value(users, share), mismatches)
