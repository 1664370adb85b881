"""What the report of a policy says, and what it leaves out."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from benchmarks import policy_gate
from tests.support.impression_tables import NO_MATURITY, impressions_frame, read_rows

from adloom.config.audience import TrainPolicy
from adloom.evaluation.metric import Evaluation, Table
from adloom.policy import evaluation, models
from adloom.policy.impressions import ExclusionCounts, Impressions, read_impressions
from adloom.policy.models import Categories
from adloom.policy.rewards import RewardRule
from adloom.policy.scorer import Policy

UNIFORM = {"model": "uniform", "temperature": 1.0, "penalty": None, "low": 0.0}
CARD = {"params": TrainPolicy(models=["uniform"], floor=0.0).model_dump(), "candidates": [UNIFORM]}


def evaluate(policy: Policy, calibration: Impressions, holdout: Impressions, excluded: ExclusionCounts) -> Evaluation:
    rivals = evaluation.fit_rivals(policy, calibration, CARD)
    return evaluation.evaluate(policy, rivals, holdout, excluded, seed=7)


def shown_alike() -> tuple[Impressions, ExclusionCounts]:
    creative = ["a", "b"] * 200
    rows = impressions_frame(creative_id=creative, clicked=[i % 10 == 0 for i in range(400)])  # all 40 clicks are on a
    return read_rows(rows, timedelta(hours=10))


def tables(result: Any) -> dict[str, Table]:
    return {section.title: section for section in result.sections if isinstance(section, Table)}


def test_a_policy_equal_to_the_log_has_the_value_of_the_log() -> None:
    data, left = shown_alike()
    result = evaluate(models.fit_uniform(data, Categories()), data, data, left)
    assert result.metrics["click_rate"].value == pytest.approx(40 / 391, rel=0.05)
    assert result.metrics["logged_click_rate"].value == pytest.approx(40 / 391, rel=0.05)
    assert result.metrics["effective_sample_size"].value == len(data)
    assert result.metrics["immature"].value == left.immature == 10
    compared = tables(result)["Policies compared"].rows
    assert [row[0] for row in compared] == ["the log itself", "this policy", "uniform, temperature 1"]
    assert {row[-1] for row in compared} == {"reliable"}


def test_a_click_rate_that_is_not_to_be_trusted_is_no_metric() -> None:
    data, left = shown_alike()
    propensity = data.propensity.copy()
    propensity[1] = 1e-6
    result = evaluate(models.fit_uniform(data, Categories()), data, replace(data, propensity=propensity), left)
    assert "click_rate" not in result.metrics
    assert result.metrics["effective_sample_size"].value == 1
    assert tables(result)["Policies compared"].rows[1][-1] != "reliable"
    ours, log = result.samples["click_rate"], result.baseline["click_rate"]
    assert ours.compare is not None
    assert ours.compare(ours, log, 0.0).enough is False


@pytest.mark.slow
def test_other_impressions_are_not_compared() -> None:
    data, left = shown_alike()
    policy = models.fit_uniform(data, Categories())
    ours = evaluate(policy, data, data, left).samples["click_rate"]
    other = evaluate(policy, data, replace(data, reward=1 - data.reward), left).samples["click_rate"]
    assert ours.compare is not None
    assert ours.compare(ours, other, 0.1).finding.startswith("was measured on other impressions")
    assert ours.statistic(*ours.columns, np.ones(len(data))) == pytest.approx(data.reward.mean())


def shown_at_a_cost() -> Impressions:
    """Return impressions of a, which costs 3, and b, which costs 1; all complaints are on b."""
    rows = impressions_frame(
        creative_id=["a", "b"] * 200,
        clicked=[i % 10 < 2 for i in range(400)],
        complaints=[i % 10 == 1 for i in range(400)],
        conversions=[i % 20 == 0 for i in range(400)],
        value=[50.0 if i % 20 == 0 else None for i in range(400)],
        cost=[3.0, 1.0] * 200,
    )
    return read_impressions(lambda columns: [rows], NO_MATURITY, RewardRule("value", guardrails=True))[0]


def test_other_outcomes_are_measured_beside_the_reward_with_the_words_of_each() -> None:
    data = shown_at_a_cost().cap_values(50.0)
    result = evaluate(models.fit_uniform(data, Categories()), data, data, ExclusionCounts(0, 0, 0, 0))
    metrics = result.metrics
    assert metrics["value_per_impression"].unit == "amount"
    assert metrics["value_per_impression"].value == pytest.approx(2.5, rel=0.01)
    rates = [metrics[name].value for name in ("click_rate", "conversion_rate", "complaint_rate")]
    assert rates == pytest.approx([0.2, 0.05, 0.1], rel=0.01)
    assert metrics["spend_share"].value == pytest.approx(0.75)  # a has half of the impressions and 3/4 of the spend
    sections = tables(result)
    assert sections["Policies compared"].header[1] == "value per 1,000"
    assert sections["Guardrails"].rows[0][:2] == ["clicks per 1,000, the log itself", 200]
    assert "spend is that of a: 75.0%" in sections["Guardrails"].caption
    assert result.samples.keys() == {"click_rate", "complaint_rate", "conversion_rate", "value_per_impression"}


@pytest.mark.parametrize(("metric", "low"), [("value_per_impression", -2.5), ("complaint_rate", 0.0)])
def test_a_policy_that_shows_only_the_creative_without_complaints(metric: str, low: float) -> None:
    data = shown_at_a_cost().cap_values(50.0)
    kind = "value" if metric == "value_per_impression" else "complaint"
    chosen = data if kind == "value" else data.with_reward(kind)
    chances, nothing = ((1 - data.shown).astype(float), data.propensity), np.zeros(len(data))
    ours, log = (evaluation.to_sample(chosen, nothing, p, nothing, kind != "value") for p in chances)
    assert ours.compare
    result = ours.compare(ours, log, 0.0)
    assert result.enough
    assert result.low > max(low, 0)
    assert "fewer is a lift" in result.finding or kind == "value"


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "fewest"), [("all at the margin", 0), ("clickbait", 0), ("better", 15)])
def test_the_gate_hardly_ever_errs_over_all_comparisons_and_looks(scenario: Any, fewest: int) -> None:
    """20 worlds: at most 5 % may have a wrong claim; benchmarks/policy_gate.py has many."""
    outcomes = []
    for seed in range(20):
        rng = np.random.default_rng([seed, 9])
        outcomes.append(policy_gate.run_contest(policy_gate.draw_contest(rng, scenario), rng, rows=8000, looks=4))
    assert sum(outcome.wrong for outcome in outcomes) <= 1
    assert sum(outcome.worse_promoted for outcome in outcomes) <= 1
    assert sum(outcome.promoted for outcome in outcomes) >= fewest
