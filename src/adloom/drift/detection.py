"""Find the features that have drifted: significantly over all of them, and enough to matter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import false_discovery_control

from adloom.config.drift import Drift
from adloom.drift.click_rate import ClickRates
from adloom.drift.difference import Difference, measure_difference
from adloom.drift.features import Feature, Kind

CLICK_RATE = "click rate"
DIGITS = 6  # significant digits; later ones depend on the order of sums


@dataclass(frozen=True)
class DriftFinding:
    """The test of one feature."""

    table: str
    feature: str
    kind: Kind
    effect: float  # population stability index, or relative change of a click rate
    statistic: float
    p_value: float
    adjusted: float  # p-value of Benjamini and Hochberg (1995)
    is_alarm: bool
    explanation: str = ""


@dataclass(frozen=True)
class Detection:
    """The drift between two periods."""

    findings: list[DriftFinding]
    click_rates: ClickRates | None
    rows: Mapping[str, tuple[int, int]]  # by table: compared rows of the reference and of the current period
    skipped: Mapping[str, str]  # table or feature: why it was not compared

    @property
    def alarms(self) -> list[DriftFinding]:
        """The findings that raise the alarm, the largest first."""
        return [finding for finding in self.findings if finding.is_alarm]

    @property
    def reason(self) -> str:
        """The alarms in one line; empty without any."""
        return "; ".join(describe(alarm) for alarm in self.alarms)


def describe(finding: DriftFinding) -> str:
    """Return a finding in a few words."""
    effect = f"changed by {finding.effect:+.0%}" if finding.feature == CLICK_RATE else f"PSI {finding.effect:.2f}"
    return f"{finding.table} {finding.feature} {effect} (p {finding.adjusted:.2g})"


def detect(
    features: Sequence[Feature],
    click_rates: ClickRates | None,
    rows: Mapping[str, tuple[int, int]],
    skipped: Mapping[str, str],
    params: Drift,
) -> Detection:
    """Test all features and the click rate as one family; return the alarms first, then the others by p-value."""
    tested = [(feature, measure_difference(feature)) for feature in features]
    findings = [_to_finding(feature, difference, params) for feature, difference in tested]
    if click_rates and click_rates.observed is not None and click_rates.expected:
        findings.append(_judge_click_rate(click_rates, click_rates.observed / click_rates.expected - 1, params))
    if findings:
        adjusted = false_discovery_control([finding.p_value for finding in findings])
        findings = [_adjust(finding, float(p), params) for finding, p in zip(findings, adjusted, strict=True)]
    findings.sort(key=lambda finding: (not finding.is_alarm, finding.p_value, -abs(finding.effect)))
    return Detection(findings, click_rates, rows, skipped)


def _to_finding(feature: Feature, difference: Difference, params: Drift) -> DriftFinding:
    is_large = difference.psi >= params.min_psi and not feature.explanation
    numbers = (_round(difference.psi), _round(difference.statistic), _round(difference.p_value))
    return DriftFinding(feature.table, feature.name, feature.kind, *numbers, 1.0, is_large, feature.explanation)


def _judge_click_rate(rates: ClickRates, change: float, params: Drift) -> DriftFinding:
    is_large = abs(change) >= params.min_rate_change
    numbers = (_round(change), _round((rates.observed or 0) - (rates.expected or 0)), _round(rates.p_value))
    return DriftFinding("impressions", CLICK_RATE, "feature", *numbers, 1.0, is_large)


def _adjust(finding: DriftFinding, adjusted: float, params: Drift) -> DriftFinding:
    is_alarm = finding.is_alarm and adjusted <= params.false_alarms
    return replace(finding, adjusted=_round(adjusted), is_alarm=is_alarm)


def _round(value: float) -> float:
    return float(np.format_float_scientific(value, DIGITS - 1)) if np.isfinite(value) else value
