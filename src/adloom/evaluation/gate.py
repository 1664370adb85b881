"""
The promotion gate: metrics in, a verdict with reasons out.

Bars apply to the candidate alone. Margins are non-inferiority tests of the paired difference by its 95 % interval:
beyond the margin rejects, within it passes, anything else holds. A candidate that is worse by more passes with a
probability of at most 2.5 %; bars stop slow drift.

Comparisons with always-valid p-values (a policy's goal and guardrails) are corrected by Holm (1979): the chance that
any of them passes although the candidate is worse is at most FAMILY_ERROR, over all metrics and looks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from adloom.config.gate import MetricRule, Verdict
from adloom.evaluation import glossary
from adloom.evaluation.metric import Comparison, Metric

FAMILY_ERROR = 0.05
SEVERITY: tuple[Verdict, ...] = ("promote", "hold", "reject")
Differences = Mapping[str, Metric | Comparison]  # candidate - champion, by metric


@dataclass(frozen=True)
class Reason:
    """The result of one rule."""

    verdict: Verdict
    metric: str
    number: float | None  # the candidate's, or an end of the difference's interval; None if not measured
    threshold: float
    finding: str
    advice: str = ""  # the next step, if there is one

    def __str__(self) -> str:
        """Return the reason as one sentence."""
        return f"{self.metric} {self.finding}" + (f"; {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Decision:
    """A verdict: the most severe of its reasons."""

    verdict: Verdict
    reasons: list[Reason]


def decide(candidate: Mapping[str, Metric], differences: Differences | None, rules: list[MetricRule]) -> Decision:
    """
    Decide on a candidate from its metrics and paired differences (candidate - champion).

    `differences` is None without a champion.
    """
    reasons = [_check_bar(candidate.get(rule.metric), rule) for rule in rules if rule.has_bar]
    if differences is not None:
        corrected = correct_comparisons(differences, rules)
        reasons += [
            _check_difference(corrected.get(rule.metric), rule, rule.margin)
            for rule in rules
            if rule.margin is not None
        ]
    return Decision(max((reason.verdict for reason in reasons), key=SEVERITY.index, default="promote"), reasons)


def correct_comparisons(differences: Differences, rules: list[MetricRule]) -> Differences:
    """Return the differences; a comparison that does not pass Holm's correction over all of the rules is not enough."""
    gated = {rule.metric for rule in rules if rule.margin is not None}
    named = [(name, d) for name, d in differences.items() if isinstance(d, Comparison) and name in gated]
    corrected, passes = dict(differences), True
    for rank, (name, comparison) in enumerate(sorted(named, key=lambda item: item[1].p_value)):
        level = FAMILY_ERROR / (len(named) - rank)
        passes = passes and comparison.p_value <= level
        if comparison.enough and not passes:
            finding = f"{comparison.finding}; p = {comparison.p_value:.2g}, with {len(named)} comparisons {level:.2g}"
            corrected[name] = replace(comparison, enough=False, finding=f"{finding} is needed: add impressions")
    return corrected


def meets_bar(metric: Metric, rule: MetricRule) -> bool:
    """Return whether a metric, or the end of its interval that the rule names, meets a rule's bar."""
    worse, better = (metric.low, metric.high) if rule.at_least is not None else (metric.high, metric.low)
    value = better if rule.within_error else worse if rule.beyond_error else metric.value
    return value >= rule.at_least if rule.at_least is not None else value <= get_bar(rule)


def get_bar(rule: MetricRule) -> float:
    """Return a rule's bar."""
    bar = rule.at_most if rule.at_least is None else rule.at_least
    assert bar is not None  # MetricRule rejects a rule without a direction
    return bar


def _check_bar(metric: Metric | None, rule: MetricRule) -> Reason:
    bar, side = get_bar(rule), "at most" if rule.at_least is None else "at least"
    if metric is None:
        advice = "evaluate the model with its judge and test rows, or remove the rule from the gate"
        return Reason("hold", rule.metric, None, bar, f"was not measured, expected {side} {bar:g}", advice)
    finding = f"{_format_number(metric.value)} (95 % {_format_number(metric.low)} to {_format_number(metric.high)})"
    if meets_bar(metric, rule):
        return Reason("promote", rule.metric, metric.value, bar, f"{finding} is {side} {bar:g}")
    advice = glossary.find_term(rule.metric).advice
    return Reason("reject", rule.metric, metric.value, bar, f"{finding}, expected {side} {bar:g}", advice)


def _check_difference(difference: Metric | Comparison | None, rule: MetricRule, margin: float) -> Reason:
    if difference is None:
        advice = "measure both on the same rows, or compare them yourself and use `adloom promote`"
        return Reason("hold", rule.metric, None, -margin, "could not be compared with the champion", advice)
    if isinstance(difference, Comparison):
        verdict: Verdict = "promote" if difference.enough else "hold"
        return Reason(verdict, rule.metric, difference.low, -margin, difference.finding)
    low, high = (difference.low, difference.high) if rule.at_most is None else (-difference.high, -difference.low)
    finding = f"minus the champion's is {difference.value:+.4f} (95 % {difference.low:+.4f} to {difference.high:+.4f})"
    if low >= -margin:
        return Reason("promote", rule.metric, low, -margin, f"{finding}: not worse by more than {margin:g}")
    if high < -margin:
        advice = "the champion stays; check what changed in the data or the parameters"
        return Reason("reject", rule.metric, high, -margin, f"{finding}: worse by more than {margin:g}", advice)
    advice = "add test rows, widen the margin, or decide yourself with `adloom promote`"
    finding = f"{finding}: not enough evidence that it is not worse by more than {margin:g}"
    return Reason("hold", rule.metric, low, -margin, finding, advice)


def _format_number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and abs(value) >= 2 else f"{value:.4f}"
