"""The summary has every bar, verdict and answer."""

from adloom.cli.demo import Bar, summarize
from adloom.config.gate import MetricRule
from adloom.evaluation.metric import Metric
from adloom.registry.verdict import Outcome

RULE = MetricRule(metric="auc", at_least=0.7)


def metric(value: float) -> Metric:
    return Metric(value, value - 0.1, value + 0.1, 10, "auc")


def test_a_bar_is_met_only_by_a_number_on_its_right_side() -> None:
    assert [Bar("policy", RULE, each).is_met for each in (metric(0.8), metric(0.6), None)] == [True, False, False]


def test_the_summary_has_bars_verdicts_and_answers() -> None:
    bars = [Bar("policy", RULE, metric(0.8)), Bar("cnn", RULE, None)]
    outcomes = [Outcome("policy", 3, "promote", ["why"], 3)]
    lines = list(summarize(outcomes, bars, {"policy": "chose a"}, ["  lift +80 %"]))
    assert any("0.8" in line and line.endswith("✓") for line in lines)
    assert any("not measured" in line and line.endswith("✗") for line in lines)
    assert any("promote" in line and "version 3, champion 3" in line for line in lines)
    assert any("chose a" in line for line in lines)
    assert "  lift +80 %" in lines
