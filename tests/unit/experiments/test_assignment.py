"""Users stay in their arms, in the planned shares, independently of other experiments."""

from collections import Counter
from random import Random

import pytest
from scipy.stats import chisquare

from adloom.experiments.assignment import Assignment

SHARES = [0.8, 0.15, 0.05]
USERS = [f"{number:032x}" for number in range(20_000)]


def never() -> float:
    return pytest.fail("a user's arm is not drawn")


def test_a_user_stays_in_one_arm_in_every_process() -> None:
    first, second = (Assignment("ab" * 16, SHARES) for _ in range(2))
    assert [first.assign(user, never) for user in USERS] == [second.assign(user, never) for user in USERS]


def test_users_arrive_in_the_planned_shares_under_each_key_independently() -> None:
    one, other = (Assignment(key * 16, SHARES) for key in ("ab", "cd"))
    pairs = Counter((one.assign(user, never), other.assign(user, never)) for user in USERS)
    cells = [(i, j) for i in range(3) for j in range(3)]
    expected = [SHARES[i] * SHARES[j] * len(USERS) for i, j in cells]
    assert chisquare([pairs[cell] for cell in cells], expected).pvalue > 0.001


def test_a_decision_without_a_user_draws_its_arm() -> None:
    assignment, draws = Assignment("ab" * 16, SHARES), iter([0.0, 0.79, 0.8, 0.94, 0.951, 1 - 2**-53])
    assert [assignment.assign(None, lambda: next(draws)) for _ in range(6)] == [0, 0, 1, 1, 2, 2]


def test_drawn_arms_have_the_planned_shares() -> None:
    assignment, random = Assignment("ab" * 16, SHARES), Random(1).random
    counts = Counter(assignment.assign(None, random) for _ in range(20_000))
    assert chisquare([counts[i] for i in range(3)], [share * 20_000 for share in SHARES]).pvalue > 0.001
