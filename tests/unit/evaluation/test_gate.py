"""The gate: a table worked by hand, what must hold for any numbers, and how often it errs over many releases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.arrays import AnyArray
from adloom.config.gate import MetricRule
from adloom.evaluation.gate import SEVERITY, decide
from adloom.evaluation.intervals import bootstrap_difference
from adloom.evaluation.metric import Comparison, Metric, Sample
from adloom.evaluation.statistics import mean

ACCURACY = MetricRule(metric="accuracy", at_least=0.91, margin=0.005)
RATIO = MetricRule(metric="bits_ratio", at_most=1.0, margin=0.01)


def metric(value: float, low: float | None = None, high: float | None = None) -> Metric:
    return Metric(value, value if low is None else low, value if high is None else high, 7000, "share")


def share(right: AnyArray) -> Sample:
    return Sample((right,), mean, "share")


@pytest.mark.parametrize(("value", "verdict"), [(0.92, "promote"), (0.91, "promote"), (0.9099, "reject")])
def test_a_bar_from_below(value: float, verdict: str) -> None:
    assert decide({"accuracy": metric(value)}, None, [ACCURACY]).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.99, "promote"), (1.0, "promote"), (1.0001, "reject")])
def test_a_bar_from_above(value: float, verdict: str) -> None:
    assert decide({"bits_ratio": metric(value)}, None, [RATIO]).verdict == verdict


@pytest.mark.parametrize(
    ("rule", "low", "high", "verdict"),
    [
        (MetricRule(metric="ece", at_most=0.05, within_error=True), 0.049, 0.12, "promote"),
        (MetricRule(metric="ece", at_most=0.05, within_error=True), 0.051, 0.12, "reject"),
        (MetricRule(metric="ece", at_most=0.05), 0.049, 0.12, "reject"),
        (MetricRule(metric="ece", at_least=0.1, within_error=True), 0.01, 0.1, "promote"),
        (MetricRule(metric="ece", at_least=0.1, within_error=True), 0.01, 0.09, "reject"),
        (MetricRule(metric="ece", at_least=0.01, beyond_error=True), 0.01, 0.09, "promote"),
        (MetricRule(metric="ece", at_least=0.011, beyond_error=True), 0.01, 0.09, "reject"),
        (MetricRule(metric="ece", at_most=0.09, beyond_error=True), 0.01, 0.09, "promote"),
        (MetricRule(metric="ece", at_most=0.089, beyond_error=True), 0.01, 0.09, "reject"),
    ],
)
def test_a_bar_that_the_interval_reaches(rule: MetricRule, low: float, high: float, verdict: str) -> None:
    assert decide({"ece": metric(0.07, low, high)}, None, [rule]).verdict == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.01, "promote"),  # better
        (-0.004, 0.004, "promote"),  # the same within the margin
        (-0.005, 0.02, "promote"),  # the margin itself is allowed
        (-0.006, 0.02, "hold"),  # perhaps worse
        (-0.02, -0.005, "hold"),  # worse, but perhaps by the margin only
        (-0.02, -0.006, "reject"),  # worse by more than the margin, for certain
    ],
)
def test_a_difference_from_the_champion(low: float, high: float, verdict: str) -> None:
    difference = {"accuracy": metric((low + high) / 2, low, high)}
    assert decide({"accuracy": metric(0.92)}, difference, [ACCURACY]).verdict == verdict
    mirrored = {"bits_ratio": metric(-(low + high), -2 * high, -2 * low)}  # where less is better, margin 0.01
    assert decide({"bits_ratio": metric(0.9)}, mirrored, [RATIO]).verdict == verdict


def test_a_metric_that_is_missing_holds() -> None:
    decision = decide({}, None, [ACCURACY])
    assert decision.verdict == "hold"
    reason = decision.reasons[0]
    assert (reason.metric, reason.number, reason.threshold) == ("accuracy", None, 0.91)
    assert "expected at least 0.91; " in str(reason)
    assert reason.advice
    assert decide({"accuracy": metric(0.95)}, {}, [ACCURACY]).verdict == "hold"


def test_a_number_that_is_none_never_passes() -> None:
    assert decide({"accuracy": metric(float("nan"))}, None, [ACCURACY]).verdict == "reject"


def test_the_most_severe_reason_is_the_verdict_and_all_are_listed() -> None:
    rules = [ACCURACY, MetricRule(metric="ece", at_most=0.05), MetricRule(metric="macro_f1", at_least=0.9)]
    decision = decide({"accuracy": metric(0.93), "ece": metric(0.0712, 0.06, 0.08)}, None, rules)
    assert [reason.verdict for reason in decision.reasons] == ["promote", "reject", "hold"]
    assert decision.verdict == "reject"
    reason = decision.reasons[1]
    assert (reason.metric, reason.number, reason.threshold) == ("ece", 0.0712, 0.05)
    assert "ece 0.0712 (95 % 0.0600 to 0.0800), expected at most 0.05; " in str(reason)
    assert reason.advice


def test_a_rule_without_a_margin_compares_nothing() -> None:
    rule = MetricRule(metric="accuracy", at_least=0.9)
    assert decide({"accuracy": metric(0.92)}, {"accuracy": metric(-0.5)}, [rule]).verdict == "promote"


def test_a_margin_alone_asks_for_a_comparison_and_for_nothing_else() -> None:
    rule = MetricRule(metric="click_rate", margin=0.01)
    assert decide({}, None, [rule]).reasons == []
    assert decide({}, {"click_rate": metric(0.0, -0.005, 0.005)}, [rule]).verdict == "promote"
    assert decide({}, {"click_rate": metric(-0.02, -0.03, -0.015)}, [rule]).verdict == "reject"
    assert decide({}, {}, [rule]).verdict == "hold"


@pytest.mark.parametrize(("enough", "verdict"), [(True, "promote"), (False, "hold")])
def test_a_comparison_of_a_samples_own_is_the_verdict(enough: bool, verdict: str) -> None:
    rule = MetricRule(metric="click_rate", margin=0.01)
    result = decide({}, {"click_rate": Comparison(enough, -0.004, "against the log: as it was seen", 0.04)}, [rule])
    assert (result.verdict, result.reasons[0].number, result.reasons[0].threshold) == (verdict, -0.004, -0.01)
    assert str(result.reasons[0]) == "click_rate against the log: as it was seen"


def judge_three(*p_values: float) -> list[str]:
    names = ["click_rate", "conversion_rate", "complaint_rate"]
    rules = [MetricRule(metric=name, margin=0.0) for name in names]
    compared = {name: Comparison(p <= 0.05, 0.0, "as seen", p) for name, p in zip(names, p_values, strict=True)}
    return [reason.verdict for reason in decide({}, compared, rules).reasons]


@pytest.mark.parametrize(
    ("p_values", "verdicts"),
    [
        ((0.01, 0.02, 0.05), ["promote", "promote", "promote"]),  # 0.05 / 3, 0.05 / 2, 0.05
        ((0.02, 0.02, 0.02), ["hold", "hold", "hold"]),  # each alone would pass
        ((0.05, 0.001, 0.03), ["hold", "promote", "hold"]),  # after the first miss none passes
        ((0.9, 0.001, 0.002), ["hold", "promote", "promote"]),
    ],
)
def test_several_comparisons_are_corrected_by_holm(p_values: tuple[float, ...], verdicts: list[str]) -> None:
    assert judge_three(*p_values) == verdicts


def test_a_corrected_comparison_says_what_is_needed() -> None:
    rules = [MetricRule(metric=name, margin=0.0) for name in ("click_rate", "complaint_rate")]
    compared = {"click_rate": Comparison(True, 0.0, "as seen", 0.04), "complaint_rate": Comparison(False, 0.0, "", 0.9)}
    assert str(decide({}, compared, rules).reasons[0]) == (
        "click_rate as seen; p = 0.04, with 2 comparisons 0.025 is needed: add impressions"
    )
    assert decide({}, compared, rules[:1]).verdict == "promote"  # only what a rule names is a comparison


def test_no_rules_ask_nothing() -> None:
    assert decide({}, {}, []).verdict == "promote"


numbers = st.floats(-1, 1)


@given(st.tuples(numbers, numbers, numbers), st.floats(0, 1), st.floats(0, 0.5), st.booleans())
def test_a_better_candidate_never_gets_a_worse_verdict(
    measured: tuple[float, float, float], better: float, margin: float, up: bool
) -> None:
    value, low, width = measured
    rule = (
        MetricRule(metric="m", at_least=0.2, margin=margin)
        if up
        else MetricRule(metric="m", at_most=0.2, margin=margin)
    )

    def severity(by: float) -> int:
        shift = by if up else -by
        difference = metric(low + shift, low + shift, low + abs(width) + shift)
        return SEVERITY.index(decide({"m": metric(value + shift)}, {"m": difference}, [rule]).verdict)

    assert severity(better) <= severity(0)


@given(st.lists(st.sampled_from(["accuracy", "ece", "macro_f1"]), max_size=3), numbers)
def test_the_order_of_rules_does_not_matter(names: list[str], value: float) -> None:
    rules = [MetricRule(metric=name, at_least=0.5, margin=0.1) for name in names]
    measured = {"accuracy": metric(value), "ece": metric(0.6)}
    assert decide(measured, measured, rules).verdict == decide(measured, measured, rules[::-1]).verdict


@pytest.mark.slow
def test_candidates_worse_than_the_margin_are_hardly_ever_promoted() -> None:
    """400 releases, each truly worse by a little more than the margin: at most 5 % may pass, and 2.5 % are expected."""
    rule = MetricRule(metric="accuracy", at_least=0.5, margin=0.02)
    rng = np.random.default_rng(9)
    verdicts = []
    for release in range(400):
        skill = rng.random(1000)  # what makes a row hard is shared
        champion, candidate = skill < 0.9, (skill < 0.9) & (rng.random(1000) > 0.025)  # 0.9 x 0.025 = 0.0225 worse
        difference = {"accuracy": bootstrap_difference(share(candidate), share(champion), draws=200, seed=release)}
        verdicts.append(decide({"accuracy": metric(0.88)}, difference, [rule]).verdict)
    assert verdicts.count("promote") / len(verdicts) <= 0.05


def test_equal_models_pass_with_enough_rows() -> None:
    rng = np.random.default_rng(10)
    champion, candidate = rng.random((2, 7000)) < 0.95
    difference = {"accuracy": bootstrap_difference(share(candidate), share(champion), draws=200, seed=1)}
    rule = MetricRule(metric="accuracy", at_least=0.5, margin=0.02)
    assert decide({"accuracy": metric(0.95)}, difference, [rule]).verdict == "promote"
