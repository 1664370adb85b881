"""
The gate: metrics in, a verdict with its reasons out.

First the bars, which a candidate must clear on its own. Then, where there is a champion, each rule with a margin asks
whether the candidate is worse by more than that, by the 95 % interval of the paired difference on the same rows (a test
of non-inferiority): wholly beyond the margin is a rejection, wholly within it is fine, and anything else is not enough
evidence. A candidate that is truly worse by more than the margin passes with a chance of 2.5 % at most. A chain of
champions may still drift by a margin at each step, which is what the bars are for. Where rows are too unequal for such
an interval, as the impressions a policy is judged by, the sample brings its own comparison, and the margin is its.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from adloom.config.gate import MetricRule
from adloom.evaluation.metric import Comparison, Metric

Verdict = Literal["promote", "hold", "reject"]
SEVERITY: tuple[Verdict, ...] = ("promote", "hold", "reject")
Differences = Mapping[str, Metric | Comparison]  # from the rival's, by metric


@dataclass(frozen=True)
class Reason:
    """What one rule found."""

    verdict: Verdict
    metric: str
    number: float | None  # of the candidate, or the nearer end of the difference; None when it was not measured
    threshold: float
    finding: str
    advice: str = ""  # the next step, where there is one to take

    def __str__(self) -> str:
        """Return the reason as one sentence."""
        return f"{self.metric} {self.finding}" + (f"; {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Decision:
    """The verdict on a candidate: the gravest of its reasons'."""

    verdict: Verdict
    reasons: list[Reason]


def decide(candidate: Mapping[str, Metric], differences: Differences | None, rules: list[MetricRule]) -> Decision:
    """
    Decide on a candidate from its metrics and its paired differences (candidate - champion) from the champion.

    `differences` is None when there is nothing to compare with; then the bars decide alone.
    """
    reasons = [_check_bar(candidate.get(rule.metric), rule) for rule in rules if rule.has_bar]
    if differences is not None:
        reasons += [
            _check_difference(differences.get(rule.metric), rule, margin) for rule, margin in _margin_rules(rules)
        ]
    return Decision(max((reason.verdict for reason in reasons), key=SEVERITY.index, default="promote"), reasons)


def meets_bar(value: float, rule: MetricRule) -> bool:
    """Return whether a value is on the right side of a rule's bar; the bar itself is."""
    return value >= rule.at_least if rule.at_least is not None else value <= get_bar(rule)


def _margin_rules(rules: list[MetricRule]) -> Iterator[tuple[MetricRule, float]]:
    yield from ((rule, rule.margin) for rule in rules if rule.margin is not None)


def get_bar(rule: MetricRule) -> float:
    """Return the bar itself, whichever side of it is the good one."""
    bar = rule.at_most if rule.at_least is None else rule.at_least
    assert bar is not None  # params refuses a rule without a side
    return bar


def _check_bar(metric: Metric | None, rule: MetricRule) -> Reason:
    bar, side = get_bar(rule), "at most" if rule.at_least is None else "at least"
    if metric is None:
        advice = "evaluate the model with its judge and its test rows, or take the rule out of the gate"
        return Reason("hold", rule.metric, None, bar, f"was not measured, expected {side} {bar:g}", advice)
    finding = f"{_format_number(metric.value)} (95 % {_format_number(metric.low)} to {_format_number(metric.high)})"
    if meets_bar(metric.value, rule):
        return Reason("promote", rule.metric, metric.value, bar, f"{finding} is {side} {bar:g}")
    advice = "look at the report's worst cases, then train longer or mend the data"
    return Reason("reject", rule.metric, metric.value, bar, f"{finding}, expected {side} {bar:g}", advice)


def _check_difference(difference: Metric | Comparison | None, rule: MetricRule, margin: float) -> Reason:
    """Judge a paired difference; `low` and `high` are its interval with better upwards."""
    if difference is None:
        advice = "measure both on the same rows, or compare them by eye and use `adloom promote`"
        return Reason("hold", rule.metric, None, -margin, "could not be compared with the champion's", advice)
    if isinstance(difference, Comparison):
        verdict: Verdict = "promote" if difference.enough else "hold"
        return Reason(verdict, rule.metric, difference.low, -margin, difference.finding)
    low, high = (difference.low, difference.high) if rule.at_most is None else (-difference.high, -difference.low)
    finding = f"minus the champion's is {_format_interval(difference)}"
    if low >= -margin:
        return Reason("promote", rule.metric, low, -margin, f"{finding}: not worse by more than {margin:g}")
    if high < -margin:
        advice = "the champion stays; look at what changed in the data or the parameters"
        return Reason("reject", rule.metric, high, -margin, f"{finding}: worse by more than {margin:g}", advice)
    advice = "bring more test rows, widen the margin, or decide by eye with `adloom promote`"
    finding = f"{finding}: not enough evidence that it is not worse by more than {margin:g}"
    return Reason("hold", rule.metric, low, -margin, finding, advice)


def _format_interval(difference: Metric) -> str:
    return f"{difference.value:+.4f} (95 % {difference.low:+.4f} to {difference.high:+.4f})"


def _format_number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and abs(value) >= 2 else f"{value:.4f}"
