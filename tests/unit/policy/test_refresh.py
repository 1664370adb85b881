"""A refreshed policy moves a bounded distance towards what the log says, and a worse one is rejected."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.log_statistics import CANDIDATES, simulate_tastes

from adloom.policy.refresh import blend, read_weighted, refresh_policy
from adloom.policy.scorer import Policy
from adloom.policy.thompson import Variances

CONTEXT = {"placement": "home", "position": "1", "ctx_device": "phone"}
RATES = {"hat": 0.1, "bag": 0.3, "shoe": 0.05}


def champion(scores: tuple[float, ...] = (0, 0), variance: float | None = None) -> Policy:
    """Return a policy that knows the bag and the hat."""
    sampled = Variances(np.full(2, variance, np.float32), (), np.full(1, variance, np.float32))
    return Policy(
        ("bag", "hat"), np.zeros(2, np.int64), (), np.array(scores, np.float32), (), (), (), np.zeros(1, np.float32),
        floor=0.01, variances=None if variance is None else sampled,
    )  # fmt: skip


def divergence(policy: Policy, other: Policy) -> float:
    p, q = (np.array(one.probabilities(CONTEXT, CANDIDATES)) for one in (policy, other))
    return float((p * np.log(p / q)).sum())


@pytest.mark.parametrize("variance", [None, 0.5])
@pytest.mark.parametrize("limit", [0.001, 0.05, 10.0])
def test_the_move_is_as_large_as_the_limit_allows(variance: float | None, limit: float) -> None:
    before = champion(variance=variance)
    result = refresh_policy(before, simulate_tastes(RATES), 1.0, limit)
    assert divergence(result.policy, before) == pytest.approx(result.divergence, abs=1e-6)
    assert result.divergence <= limit
    assert result.divergence > 0.98 * limit or result.step == 1
    assert result.verdict == "promote"
    assert result.policy.probabilities(CONTEXT, CANDIDATES)[1] > 1 / 3  # the bag


def test_a_full_step_is_a_training_on_the_whole_log() -> None:
    statistics = simulate_tastes(RATES)
    shares = refresh_policy(champion(), statistics, 1.0, 10.0).policy.probabilities(CONTEXT, CANDIDATES)
    data = read_weighted(statistics.to_impressions(held_out=False))
    clicks, shown = (np.bincount(data.shown, data.weight * column) for column in (data.reward, np.ones(len(data))))
    odds = dict(zip(data.creatives, clicks / (shown - clicks), strict=True))
    expected = np.array([odds[name] for name in CANDIDATES]) / sum(odds.values())
    assert shares == pytest.approx(0.01 + 0.97 * expected, abs=0.02)  # shrunk a little


def test_a_refresh_that_is_worse_for_held_out_users_is_rejected() -> None:
    misled = simulate_tastes({"hat": 0.02, "bag": 0.02, "shoe": 0.5}, held_out_rate=RATES)
    result = refresh_policy(champion(), misled, 1.0, 0.3)
    assert result.verdict == "reject"
    assert result.lift < 0
    assert result.reasons[-1].endswith("certainly worse")


@pytest.mark.parametrize(("column", "kind"), [("complained", "complaint"), ("converted", "conversion")])
def test_a_guardrail_rejects_what_clicks_alone_would_promote(column: str, kind: str) -> None:
    statistics = simulate_tastes(RATES)
    liked = statistics.cells["creative_id"] == "bag"
    share = np.where(liked == (kind == "complaint"), 0.4, 0.02)  # the bag is clicked, but brings complaints or no sale
    cells = statistics.cells.assign(**{column: (statistics.cells["shown"] * share).astype(np.int64)})
    guarded = replace(statistics, cells=cells)
    assert refresh_policy(champion(), guarded, 1.0, 0.3).verdict == "promote"
    result = refresh_policy(champion(), guarded, 1.0, 0.3, {kind: 0.0})
    assert (result.verdict, result.reasons[-1].endswith("certainly worse")) == ("reject", True)
    assert refresh_policy(champion(), guarded, 1.0, 0.3, {kind: 0.5}).verdict == "promote"


def test_a_refresh_by_conversions_ignores_what_is_clicked_most() -> None:
    statistics = simulate_tastes(RATES)
    share = statistics.cells["creative_id"].map({"hat": 0.2, "bag": 0.02, "shoe": 0.02})
    sold = replace(statistics, cells=statistics.cells.assign(converted=(statistics.cells["shown"] * share).astype(int)))
    result = refresh_policy(champion(), sold, 1.0, 0.3, goal="conversion")
    assert result.verdict == "promote"
    assert result.reasons[-1].startswith("conversions per impression")
    assert int(np.argmax(result.policy.probabilities(CONTEXT, CANDIDATES))) == CANDIDATES.index("hat")


def test_a_move_to_creatives_that_the_log_never_showed_is_held() -> None:
    statistics = simulate_tastes(RATES)
    cells = statistics.cells.assign(candidates=statistics.cells["candidates"] + "\x1funseen")
    result = refresh_policy(replace(champion(), floor=0.1), replace(statistics, cells=cells), 1.0, 0.05)
    assert result.verdict == "hold"


@pytest.mark.slow
@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_a_blend_has_blended_scores(seed: int, step: float) -> None:
    rng = np.random.default_rng(seed)
    draw = [rng.normal(size=size).astype(np.float32) for size in (2, 1, 2, (3, 2), 1)]
    one = Policy(("a", "b"), np.zeros(2, np.int64), (), draw[0], (), (), (), draw[1])
    two = Policy(("b", "c"), np.zeros(2, np.int64), (), draw[2], (("x",),), (("u", "v"),), (draw[3],), draw[4])
    mixed = blend(one, two, step)
    for value, row in (("u", 1), ("v", 2), ("other", 0)):
        old = [draw[0][0], draw[0][1], draw[1][0], draw[1][0]]  # c and d are unknown to the first
        new = [draw[0][0], draw[2][0] + draw[3][row, 0], draw[2][1] + draw[3][row, 1], draw[4][0]]
        score = (1 - step) * np.array(old) + step * np.array(new)
        expected = np.exp(score) / np.exp(score).sum()
        assert mixed.probabilities({"x": value}, ["a", "b", "c", "d"]) == pytest.approx(expected, rel=1e-4)


def test_creatives_without_history_stay_new_until_the_fit_knows_them() -> None:
    before = replace(champion(), creatives=("hat", "bag"), new=1)
    fitted = Policy(("shoe",), np.zeros(1, np.int64), (), np.ones(1, np.float32), (), (), (), np.zeros(1, np.float32))
    mixed = blend(before, fitted, 0.5)
    assert (mixed.creatives, mixed.new) == (("hat", "shoe", "bag"), 1)
    assert blend(before, replace(fitted, creatives=("bag",)), 0.5).new == 0
