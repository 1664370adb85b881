"""What the report of a policy says, and what it leaves out."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from tests.support.impression_tables import impressions_frame, read_rows

from adloom.config.audience import TrainPolicy
from adloom.evaluation.metric import Table
from adloom.policy import evaluation, models
from adloom.policy.impressions import ExclusionCounts, Impressions
from adloom.policy.models import Categories

UNIFORM = {"model": "uniform", "temperature": 1.0, "penalty": None, "low": 0.0}
CARD = {"params": TrainPolicy(models=["uniform"], floor=0.0).model_dump(), "candidates": [UNIFORM]}


def shown_alike() -> tuple[Impressions, ExclusionCounts]:
    creative = ["a", "b"] * 200
    rows = impressions_frame(creative_id=creative, clicked=[i % 10 == 0 for i in range(400)])  # all 40 clicks are on a
    return read_rows(rows, timedelta(hours=10))


def tables(result: Any) -> dict[str, Table]:
    return {section.title: section for section in result.sections if isinstance(section, Table)}


def test_a_policy_equal_to_the_log_has_the_value_of_the_log() -> None:
    data, left = shown_alike()
    result = evaluation.evaluate(models.fit_uniform(data, Categories()), data, data, left, CARD)
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
    result = evaluation.evaluate(
        models.fit_uniform(data, Categories()), data, replace(data, propensity=propensity), left, CARD
    )
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
    ours = evaluation.evaluate(policy, data, data, left, CARD).samples["click_rate"]
    other = evaluation.evaluate(policy, data, replace(data, reward=1 - data.reward), left, CARD).samples["click_rate"]
    assert ours.compare is not None
    assert ours.compare(ours, other, 0.1).finding.startswith("was measured on other impressions")
    assert ours.statistic(*ours.columns, np.ones(len(data))) == pytest.approx(data.reward.mean())
