"""The report of a comparison: a picture, and a table of all tests."""

from adloom.drift.detection import CLICK_RATE, Detection, DriftFinding
from adloom.drift.figures import draw_click_rates, draw_effects
from adloom.evaluation.metric import Figure, Section, Table
from adloom.evaluation.report import render_page

HEADER = ["table", "reference", "current"]


def build_page(detection: Detection, min_psi: float) -> str:
    """Return the page of a comparison."""
    alarms, tested = detection.alarms, len(detection.findings)
    title = f"{len(alarms)} of {tested} features have drifted" if alarms else "No drift"
    lead = detection.reason or f"None of {tested} features differs significantly and enough to matter."
    return render_page("adloom drift", title, lead, build_sections(detection, min_psi))


def build_sections(detection: Detection, min_psi: float) -> list[Section]:
    """Return the sections of a report."""
    sections: list[Section] = []
    findings = [finding for finding in detection.findings if finding.feature != CLICK_RATE]
    if findings:
        caption = (
            "Population stability index of each feature. A bar is orange if the change is significant over all "
            "features together and reaches the dashed line."
        )
        sections.append(Figure("How far each feature has moved", caption, lambda: draw_effects(findings, min_psi)))
    if rates := detection.click_rates:
        caption = "The estimate needs no clicks: it is what the reference's click model expects of the current period."
        sections.append(Figure("Click rate", caption, lambda: draw_click_rates(rates)))
    return [*sections, _build_table(detection.findings), *_list_rows(detection)]


def _build_table(findings: list[DriftFinding]) -> Table:
    header = ["table", "feature", "effect", "p-value", "adjusted", "alarm"]
    caption = "Effect: population stability index, or relative change of the click rate. Adjusted: Benjamini-Hochberg."
    return Table("All tests", caption, header, [_describe_row(finding) for finding in findings])


def _describe_row(finding: DriftFinding) -> list[str | float | int]:
    verdict = "yes" if finding.is_alarm else finding.explanation or "no"
    p_value, adjusted = (f"{value:.2g}" for value in (finding.p_value, finding.adjusted))
    return [finding.table, finding.feature, finding.effect, p_value, adjusted, verdict]


def _list_rows(detection: Detection) -> list[Section]:
    rows: list[list[str | float | int]] = [[table, *counts] for table, counts in detection.rows.items()]
    compared = Table("Compared rows", "Users' rows beyond the limit are left out at random.", HEADER, rows)
    skipped: list[list[str | float | int]] = [[name, reason] for name, reason in detection.skipped.items()]
    return [compared, *([Table("Not compared", "", ["what", "why"], skipped)] if skipped else [])]
