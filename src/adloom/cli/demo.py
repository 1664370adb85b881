"""`adloom demo`: run everything, ask each served model one question, and say on one screen how it went."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from adloom.cli.run import run
from adloom.config.gate import Gate, MetricRule
from adloom.config.models import MODELS
from adloom.config.params import Params
from adloom.context import StageContext
from adloom.errors import AdloomError
from adloom.evaluation.gate import meets_bar
from adloom.evaluation.metric import Metric
from adloom.evaluation.sections import read_metrics
from adloom.registry.verdict import Outcome
from adloom.storage import manifest

REPORT = Path("reports/report/report.html")
NEXT = """Next   adloom serve             answer on http://127.0.0.1:3000
       adloom models            versions, aliases and why
       edit params.yaml         your own pictures, copy, events, impressions; then adloom run"""


@dataclass(frozen=True)
class Bar:
    """One rule of the gate beside the number it is about."""

    model: str
    rule: MetricRule
    metric: Metric | None

    @property
    def met(self) -> bool:
        """Whether the number is there and on the right side of its bar."""
        return self.metric is not None and meets_bar(self.metric.value, self.rule)


def demo(params: Params, context: StageContext) -> None:
    """Run, serve, ask, summarise. Raises AdloomError when a model is under a bar or not served."""
    from adloom.serving.client import ask, ask_all, serving

    outcomes = run(params, context)
    with serving() as url:
        answers = ask_all(url)
        absent = ask(f"{url}/v1/models")["absent"]
    bars = list(read_bars(params.gate))
    for line in summary(outcomes, bars, answers):
        click.echo(line)
    missed = [f"{bar.model} {bar.rule.metric}" for bar in bars if not bar.met]
    if missed:
        raise AdloomError(f"under the bar: {', '.join(missed)}; {REPORT} shows where")
    unserved = [outcome.model for outcome in outcomes if outcome.champion and outcome.model in absent]
    if unserved:
        raise AdloomError(f"not served: {', '.join(unserved)}; the lines above say why")


def read_bars(gate: Gate) -> Iterator[Bar]:
    """Yield every rule with its number; a model that was skipped has no bars."""
    for model in MODELS:
        folder = Path("reports") / model
        if manifest.read(folder).skipped:
            continue
        metrics = read_metrics(folder)
        yield from (Bar(model, rule, metrics.get(rule.metric)) for rule in gate.rules(model) if rule.has_bar)


def summary(outcomes: list[Outcome], bars: list[Bar], answers: dict[str, str]) -> Iterator[str]:
    """Yield the lines of the screenful: trained, measured, decided, answered, what next."""
    yield f"\n{'model':9} {'metric':18} {'value':>8}   {'95 % interval':17} bar"
    yield from (_line(bar) for bar in bars)
    yield "\nGate"
    for outcome in outcomes:
        version, champion = outcome.version or "none", outcome.champion or "none"
        yield f"  {outcome.model:9} {outcome.verdict:8} version {version}, champion {champion}"
    yield "\nAsked over HTTP"
    yield from (f"  {name:9} {answer}" for name, answer in answers.items())
    yield f"\nReport {REPORT.absolute()}"
    yield NEXT


def _line(bar: Bar) -> str:
    target = f"≥ {bar.rule.at_least:g}" if bar.rule.at_least is not None else f"≤ {bar.rule.at_most:g}"
    if bar.metric is None:
        return f"{bar.model:9} {bar.rule.metric:18} {'—':>8}   {'not measured':17} {target}  ✗"
    m = bar.metric
    interval = f"{m.low:.4g} … {m.high:.4g}"
    return f"{bar.model:9} {bar.rule.metric:18} {m.value:8.4g}   {interval:17} {target}  {'✓' if bar.met else '✗'}"
