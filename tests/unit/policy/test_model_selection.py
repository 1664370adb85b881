"""The choice of the model: by its lift over uniform decisions, with the doubt counted against it."""

import tracemalloc
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from tests.support.impression_tables import NO_CATEGORIES, impressions_frame, read_frame, read_rows
from tests.support.simulated_logs import UNIFORM, WORLD, prepare_table, probability_table, simulate_log

from adloom.config.audience import TrainPolicy
from adloom.errors import DataError
from adloom.policy import model_selection, models
from adloom.policy.impressions import Impressions
from adloom.policy.model_selection import Candidate
from adloom.policy.models import Categories
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.reward_model import cross_fit
from adloom.policy.scorer import Policy
from adloom.world.simulator import World

PARAMS = TrainPolicy(maturity_hours=2, temperatures=[1.0, 0.3])
HOURS = timedelta(hours=2)


def candidate(model: str, lift_low: float, issue: str = "") -> Candidate:
    return Candidate(model, 1.0, None, Estimate(0.05, 0.04, 0.06, 1000, 900.0, 0.02, issue), lift_low + 0.01, lift_low)


def test_the_highest_lower_end_is_chosen_not_the_highest_lift() -> None:
    bold = replace(candidate("linear", 0.001), lift=0.09)
    assert (
        model_selection.choose_candidate([candidate("uniform", 0.0), bold, candidate("rates", 0.003)]).model == "rates"
    )


def test_the_first_of_equals_wins_and_unreliable_candidates_never_do() -> None:
    result = [
        candidate("uniform", 0.0),
        candidate("rates", 0.02),
        candidate("linear", 0.02),
        candidate("logging", 0.5, "its sample is too small"),
    ]
    assert model_selection.choose_candidate(result).model == "rates"
    assert model_selection.explain_choice(result[3], result[1]) == "its sample is too small"
    assert model_selection.explain_choice(result[2], result[1]) == (
        "lift over uniform decisions at least 0.02, chosen 0.02"
    )


def test_of_nearly_equal_temperatures_the_one_that_explores_more_is_chosen() -> None:
    lows = {1.0: 0.9, 0.5: 0.96, 0.25: 1.0, 0.125: 0.99}
    result = [replace(candidate("linear", low), temperature=t) for t, low in lows.items()]
    chosen = model_selection.choose_candidate([candidate("uniform", 0.0), candidate("rates", 0.99), *result])
    assert (chosen.model, chosen.temperature) == ("linear", 0.5)


def test_a_greedy_part_of_the_log_does_not_hide_what_the_rest_tells() -> None:
    """The last half hardly ever shows a, so there the estimates of uniform decisions are worth little."""
    rng, rows = np.random.default_rng(0), 6000
    share = np.where(np.arange(rows) < rows * 0.7, 0.5, 0.002)  # of a
    is_a = rng.random(rows) < share
    data = read_frame(
        creative_id=np.where(is_a, "a", "b"), clicked=rng.random(rows) < np.where(is_a, 0.05, 0.2),
        propensity=np.where(is_a, share, 1 - share), hours=np.arange(rows) / 10,
    )  # fmt: skip
    chosen = model_selection.choose_candidate(model_selection.evaluate_candidates(data, NO_CATEGORIES, PARAMS))
    assert chosen.model != "uniform"
    assert chosen.value.trustworthy
    assert chosen.lift_low > 0.05


def test_uniform_when_nothing_surely_earns_more() -> None:
    result = [candidate("uniform", 0.0), candidate("rates", -1e-6), candidate("linear", 0.2, "no")]
    chosen = model_selection.choose_candidate(result)
    assert chosen.model == "uniform"
    assert model_selection.explain_choice(chosen, chosen) == (
        "chosen, because no other estimate is reliable and above uniform decisions"
    )


@pytest.mark.slow
def test_memory_does_not_grow_with_the_creatives() -> None:
    """With 2,000 creatives, one number per row and creative would be 96 MB."""
    peaks = []
    for creatives in (20, 2000):
        names = np.array([f"c{i}" for i in range(creatives)])
        rng = np.random.default_rng(0)
        rows = impressions_frame(
            creative_id=names[rng.integers(creatives, size=6000)], clicked=rng.random(6000) < 0.1,
            hours=np.arange(6000) / 20, propensity=1 / creatives,
        )  # fmt: skip
        data = read_rows(rows, HOURS)[0]
        tracemalloc.start()
        model_selection.evaluate_candidates(data, NO_CATEGORIES, PARAMS)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 20e6


@pytest.mark.slow
def test_in_a_world_where_context_matters_the_linear_model_is_chosen_and_earns_more() -> None:
    world = World(WORLD, 2)
    rows = prepare_table(simulate_log(world, None, 12_000), "calibration")
    data = read_rows(rows, HOURS)[0]
    result = model_selection.evaluate_candidates(data, Categories(), PARAMS)
    assert [(c.model, c.temperature) for c in result] == [
        ("uniform", 1.0), ("logging", 1.0), ("rates", 1.0), ("rates", 0.3), ("linear", 1.0), ("linear", 0.3),
    ]  # fmt: skip
    chosen = model_selection.choose_candidate(result)
    assert (chosen.model, chosen.temperature) == ("linear", 0.3)
    policy = model_selection.fit_model(data, "linear", Categories(), chosen.penalty or 0.0)
    assert world.exact_value(probability_table(policy)) > 1.1 * world.exact_value(UNIFORM)


def test_a_log_without_clicks_cannot_teach() -> None:
    data = read_rows(impressions_frame(creative_id=["a", "b"] * 10, clicked=[False] * 20))[0]
    with pytest.raises(
        DataError, match=r"0 of 20 have clicks in the calibration period, expected some but not all; use"
    ):
        model_selection.evaluate_candidates(data, NO_CATEGORIES, PARAMS)


def test_uniform_when_no_creative_runs_on() -> None:
    names = [f"c{i // 10}-{i % 2}" for i in range(400)]  # two at a time, for ten hours: no origin is within them
    offered = [[name[:-1] + "0", name[:-1] + "1"] for name in names]
    hours = np.repeat(np.arange(40) * 100, 10)
    rows = impressions_frame(creative_id=names, clicked=np.arange(400) % 3 == 0, candidates=offered, hours=hours)
    [only] = model_selection.evaluate_candidates(read_rows(rows)[0], NO_CATEGORIES, PARAMS)
    assert (only.model, only.value.reliability_issue) == ("uniform", model_selection.NO_CHOICE)
    assert model_selection.choose_candidate([only]) is only


def test_unsupported_creatives_are_detected() -> None:
    data = read_frame(creative_id=["a", "b", "a", "b", "a"], candidates=[["a", "b", "c"]] * 5)
    log = model_selection.to_log(data)
    uniform = models.fit_uniform(data, NO_CATEGORIES)
    terms = model_selection.collect_terms(uniform, data, log, cross_fit(log.rates))
    assert terms.support.unsupported_actions == {"c": pytest.approx(1 / 3)}


def test_contexts_are_numbered_in_the_order_of_their_values() -> None:
    data = read_frame(creative_id=["a"] * 4, placement=["y", "x", "y", "x"], ctx_segment=["s", None, None, "r"])
    log = model_selection.to_log(data, ["placement", "segment"])
    assert log.cell.tolist() == [3, 0, 2, 1]
    assert log.place.tolist() == [1, 0, 1, 0]


def test_a_log_and_its_weighted_twin_give_one_policy_and_one_value() -> None:
    counts = {("x", "a"): (900, 90), ("x", "b"): (800, 20), ("y", "a"): (700, 14), ("y", "b"): (600, 60)}
    cells = [(*cell, 1.0 * clicked) for cell in counts for clicked in (True, False)]
    weight = [count for shown, clicks in counts.values() for count in (clicks, shown - clicks)]
    place, creative, clicked = zip(*cells, strict=True)
    twin = read_frame(creative_id=creative, placement=place, clicked=clicked, weight=weight, propensity=0.5)
    rows = read_frame(
        creative_id=np.repeat(creative, weight), placement=np.repeat(place, weight), clicked=np.repeat(clicked, weight),
        hours=np.repeat(np.arange(8), weight), propensity=0.5,
    )  # fmt: skip
    assert (twin.count, twin.rewarded) == (rows.count, rows.rewarded) == (3000, 184)
    for model in ("uniform", "logging", "rates", "linear"):
        policies = [model_selection.fit_model(data, model, NO_CATEGORIES, 0.1) for data in (twin, rows)]
        for one, other in zip(*(policy.weights for policy in policies), strict=True):
            assert one == pytest.approx(other, abs=1e-4)
        one, other = (estimate(policies[0], data) for data in (twin, rows))
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), rel=2e-3)
        assert one.effective_sample_size == pytest.approx(other.effective_sample_size)


def estimate(policy: Policy, data: Impressions) -> Estimate:
    log = model_selection.to_log(data)
    return model_selection.estimate_value(policy, data, log, cross_fit(log.rates, clusters=log.clusters))
