"""The HTML report: one self-contained, reproducible page without scripts."""

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from adloom.config.gate import Gate, MetricRule
from adloom.config.models import MODELS
from adloom.evaluation import glossary
from adloom.evaluation.gate import get_bar, meets_bar
from adloom.evaluation.metric import Figure, Lines, Metric, Section
from adloom.evaluation.sections import Findings

PIXEL_RATIO = 1.5  # figures have 144 dots per inch, a page 96
PERCENT = "\N{NO-BREAK SPACE}%"
WIDTH, PAD = 100.0, 12.0  # of an interval's axis; PAD is free at both ends


@dataclass(frozen=True)
class Model:
    """A model's findings, or why there are none."""

    digest: str
    findings: Findings | None
    skipped: str | None


@dataclass(frozen=True)
class Dataset:
    """A table's summary and licence."""

    licence: str
    source: str
    summary: Mapping[str, Any] | None
    skipped: str | None


@dataclass(frozen=True)
class Gauge:
    """A rule and its measurement."""

    term: glossary.Term
    value: str
    interval: str
    bar: str
    met: bool | None  # None if not measured
    points: tuple[float, float, float, float] | None  # low, value, high, bar on an axis from 0 to WIDTH
    at_least: bool


@dataclass(frozen=True)
class Number:
    """A metric as text."""

    metric: str
    term: glossary.Term
    value: str
    interval: str  # empty if low == high
    rows: str


@dataclass(frozen=True)
class Panel:
    """A model on the page."""

    name: str
    title: str
    sentence: str
    digest: str
    skipped: str | None
    gauges: list[Gauge]
    numbers: list[Number]
    exhibits: list[tuple[str, list[Section]]]  # groups of figures, tables or lines, in order
    compared: Number | None = None  # the first metric with a rule, for a model without bars

    @property
    def overall(self) -> list[Number]:
        """The metrics of the whole model."""
        return [number for number in self.numbers if "." not in number.metric]

    @property
    def by_category(self) -> list[Number]:
        """The metrics of single categories."""
        return [number for number in self.numbers if "." in number.metric]

    @property
    def met(self) -> bool | None:
        """Whether the model meets its bars; None if unknown."""
        results = {gauge.met for gauge in self.gauges}
        return False if False in results else None if None in results or self.skipped else True


def render(models: Mapping[str, Model], datasets: Mapping[str, Dataset], gate: Gate) -> str:
    """Return report.html."""
    panels = [_build_panel(name, model, gate.rules(name)) for name, model in models.items()]
    warnings = [(table, text) for table, data in datasets.items() if data.summary for text in data.summary["warnings"]]
    return (
        _load_template("report.html").render(panels=panels, datasets=datasets, warnings=warnings, pad=PAD, axis=WIDTH)
        + "\n"
    )


def render_page(eyebrow: str, title: str, lead: str, sections: Sequence[Section]) -> str:
    """Return a page of sections."""
    page = _load_template("page.html")
    return page.render(eyebrow=eyebrow, title=title, lead=lead, exhibits=_group_exhibits(sections)) + "\n"


def _load_template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("adloom.evaluation", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "data_uri": _to_data_uri,
        "width": _display_width,
        "cell": _format_cell,
        "count": _format_count,
    }
    return environment.get_template(name)


def _group_exhibits(sections: Sequence[Section]) -> list[tuple[str, list[Section]]]:
    return [(kind, list(group)) for kind, group in groupby(sections, _section_kind)]


def _build_panel(name: str, model: Model, rules: list[MetricRule]) -> Panel:
    spec = MODELS[name]
    findings = model.findings or Findings({}, [])
    rules_with_bar = [] if model.skipped else [rule for rule in rules if rule.has_bar]
    gauges = [_build_gauge(rule, findings.metrics.get(rule.metric)) for rule in rules_with_bar]
    numbers = [_to_number(metric, findings.metrics[metric]) for metric in sorted(findings.metrics)]
    exhibits = _group_exhibits(findings.sections)
    first = next((number for rule in rules for number in numbers if number.metric == rule.metric), None)
    return Panel(name, spec.title, spec.summary, model.digest, model.skipped, gauges, numbers, exhibits, first)


def _build_gauge(rule: MetricRule, metric: Metric | None) -> Gauge:
    term, at_least = glossary.find_term(rule.metric), rule.at_least is not None
    bar = get_bar(rule)
    number = f"{100 * bar:g}{PERCENT}" if metric and metric.unit == "share" else f"{bar:,g}"
    target = f"{'at least' if at_least else 'at most'} {number}"
    if metric is None:
        return Gauge(term, "not measured", "", target, None, None, at_least)
    measured = _to_number(rule.metric, metric)
    return Gauge(
        term,
        measured.value,
        measured.interval,
        target,
        meets_bar(metric, rule),
        _scale_points(metric, bar),
        at_least,
    )


def _scale_points(metric: Metric, bar: float) -> tuple[float, float, float, float]:
    """Scale low, value, high and bar to the axis."""
    numbers = (metric.low, metric.value, metric.high, bar)
    least, span = min(numbers), (max(numbers) - min(numbers)) or 1.0
    low, value, high, marker = (round(PAD + (number - least) / span * (WIDTH - 2 * PAD), 2) for number in numbers)
    return low, value, high, marker


def _to_number(name: str, metric: Metric) -> Number:
    low, value, high = (_format_number(number, metric.unit) for number in (metric.low, metric.value, metric.high))
    interval = "" if metric.low == metric.high else f"{low} to {high}"
    return Number(name, glossary.find_term(name), value, interval, _format_count(metric.n))


def _format_number(value: float, unit: str) -> str:
    """Format a number for its unit."""
    if unit == "share":
        percent = 100 * value
        return (f"{percent:.1f}" if percent >= 1 else f"{percent:.2g}") + PERCENT
    if unit == "count":
        return _format_count(round(value))
    return f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"


def _format_count(value: int) -> str:
    return f"{value:,}"


def _format_cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}".rstrip("0").rstrip(".")


def _section_kind(section: Section) -> str:
    if isinstance(section, Figure):
        return "figure"
    return "lines" if isinstance(section, Lines) else "table"


def _to_data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _display_width(png: bytes) -> int:
    """Return a PNG's width in CSS pixels."""
    pixels: int = struct.unpack(">I", png[16:20])[0]
    return round(pixels / PIXEL_RATIO)
