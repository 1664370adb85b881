"""Arms are compared by intervals that hold at all looks, and experiments end by their rules."""

from collections import Counter

import numpy as np
import pytest
from tests.support.experiments import count, experiment

from adloom.experiments.analysis import analyse, compare_rates, plan_decisions
from adloom.experiments.counts import GUARDRAILS, UserCounts

EVEN = "champion=50,challenger=50"


def test_a_difference_is_that_of_the_rates_per_decision() -> None:
    """30 clicks of 1000 against 20 of 1000, each arm weighted by 2: 2 · (30 - 20) / 2000."""
    counts = count([1000, 1000], click=[20, 30])
    found = compare_rates(counts, 1, 0.5, counts.goal, counts.matured, 0.05)
    assert (found.value, found.baseline) == pytest.approx((0.01, 0.02))
    assert found.low < 0.01 < found.high
    swapped = compare_rates(counts, 0, 0.5, counts.goal, counts.matured, 0.05)
    assert (-swapped.high, -swapped.low) == pytest.approx((found.low, found.high), rel=1e-6)


def test_one_clicking_user_is_less_evidence_than_many() -> None:
    def interval(users: list[int]) -> float:
        zeros, total = np.zeros(4, int), np.array([500, 500, 500, 500])
        clicks = np.array([10, 10, 30, 30])
        counts = UserCounts(
            np.array([0, 0, 1, 1]), np.array(users), total, {"click": clicks, "slow": zeros}, total, clicks
        )
        found = compare_rates(counts, 1, 0.5, clicks, total, 0.05)
        return found.high - found.low

    assert interval([0, 1, 2, 3]) > 2 * interval([-1, -1, -1, -1])


@pytest.mark.parametrize(
    ("arms", "decisions", "events", "verdict", "reason"),
    [
        (EVEN, [5000, 5000], {"click": [100, 200]}, "promote", "challenger: click rate +0.0200"),
        (EVEN, [5000, 5000], {"click": [200, 195]}, "continue", "challenger: click rate -0.0010"),
        (EVEN, [5000, 5000], {"click": [200, 100]}, "rollback", "challenger: click rate -0.0200, at most -0.0"),
        (EVEN, [5000, 5000], {"click": [200, 200], "conversion": [100, 20]}, "rollback", "challenger: conversion rate"),
        (EVEN, [5000, 5000], {"click": [200, 200], "complaint": [20, 100]}, "rollback", "challenger: complaint rate"),
        (EVEN, [5000, 5000], {"click": [200, 200], "complaint": [100, 20]}, "continue", "challenger: click rate"),
        (EVEN, [5000, 5000], {"click": [200, 200], "default": [0, 400]}, "rollback", "share of default answers +0.08"),
        (EVEN, [5000, 5000], {"click": [200, 200], "slow": [0, 400]}, "rollback", "share of slow answers +0.08"),
        (EVEN, [5000, 6000], {"click": [100, 240]}, "stop", "sample-ratio mismatch: p = "),
        (
            EVEN,
            [50_000, 50_000],
            {"click": [2000, 2010]},
            "stop",
            "no evidence after 100,000 decisions, planned 90,000",
        ),
        ("champion=50,control=50", [5000, 5000], {"click": [200, 100]}, "continue", "no candidate"),
        ("champion=50,holdout=50", [5000, 5000], {"click": [200, 0]}, "continue", "no candidate"),
    ],
)
def test_rules_end_an_experiment(
    arms: str, decisions: list[int], events: dict[str, list[int]], verdict: str, reason: str
) -> None:
    result = analyse(experiment(arms, until_evidence=True, planned=90_000), count(decisions, **events))
    assert result.verdict == verdict
    assert reason in result.reason


def test_without_a_rule_only_a_guardrail_ends_it() -> None:
    counts = count([5000, 5000], click=[100, 200])
    assert analyse(experiment(EVEN), counts).verdict == "continue"
    assert analyse(experiment(EVEN), count([5000, 5000], click=[200, 100])).verdict == "rollback"


def test_an_arm_without_decisions_has_no_difference() -> None:
    result = analyse(experiment(), count([10, 0, 0], click=[1, 0, 0]))
    assert [arm.goal for arm in result.arms] == [None, None, None]
    assert result.verdict == "continue"


def test_immature_decisions_are_no_evidence_but_break_guardrails() -> None:
    decisions, none = np.array([5000, 5000]), np.zeros(2, int)
    events = dict.fromkeys(GUARDRAILS, none) | {"click": np.array([200, 100])}
    counts = UserCounts(np.arange(2), np.full(2, -1), decisions, events, none, none)
    result = analyse(experiment(EVEN, until_evidence=True), counts)
    assert (result.verdict, result.arms[1].goal) == ("rollback", None)


@pytest.mark.slow
def test_equal_arms_are_rarely_ended_at_any_of_many_looks() -> None:
    """Of 60 experiments with 10 looks each, at most 5 % may end; 60 · 5 % = 3, and chance allows 6."""
    rng, chances = np.random.default_rng(2), np.array([0.5, 0.5])
    created, verdicts = experiment(EVEN, until_evidence=True), Counter[str]()
    for _ in range(60):
        decisions = rng.multinomial(2000, chances, size=10)
        clicks = rng.binomial(decisions, 0.03)
        looks = zip(decisions.cumsum(0), clicks.cumsum(0), strict=True)
        ends = (analyse(created, count(shown, click=clicked)).verdict for shown, clicked in looks)
        verdicts[next((end for end in ends if end != "continue"), "continue")] += 1
    assert verdicts["continue"] >= 60 - 6


def test_the_planned_size_finds_its_effect() -> None:
    """With as many decisions as planned and the planned rates exactly, the lower bound reaches 0."""
    created = experiment(EVEN)
    planned = plan_decisions(created, rate=0.05, effect=0.5)
    assert planned is not None
    half = planned // 2
    result = analyse(created, count([half, half], click=[round(half * 0.05), round(half * 0.075)]))
    assert result.arms[1].goal is not None
    assert result.arms[1].goal.low == pytest.approx(0, abs=2e-4)
