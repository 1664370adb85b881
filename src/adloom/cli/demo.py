"""`adloom demo`: run everything, send one request to each served model, and print a summary on one screen."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from adloom.cli.options import PARAMS, load_working_context
from adloom.cli.run import run_pipeline
from adloom.config.gate import Gate, MetricRule
from adloom.config.models import MODELS
from adloom.errors import AdloomError
from adloom.evaluation.gate import meets_bar
from adloom.evaluation.metric import Metric
from adloom.evaluation.sections import read_metrics
from adloom.registry.verdict import Outcome
from adloom.storage import manifest

REPORT = Path("reports/report/report.html")
NEXT_STEPS = """Next   adloom serve             answer on http://127.0.0.1:3000
       adloom models            versions, aliases and why
       edit params.yaml         your own pictures, copy, events, impressions; then adloom run"""


@dataclass(frozen=True)
class Bar:
    """A rule of the gate and the metric that it judges."""

    model: str
    rule: MetricRule
    metric: Metric | None

    @property
    def is_met(self) -> bool:
        """Whether the metric exists and meets the rule."""
        return self.metric is not None and meets_bar(self.metric, self.rule)


@click.command("demo")
@PARAMS
def demo(params_path: Path) -> None:
    """
    Run everything, send one request to each served model, and print a summary.

    Example: adloom demo
    """
    from adloom.cli.closed_loop import close_loop
    from adloom.serving.client import ask, ask_all, serving

    params, context = load_working_context(params_path)
    outcomes = run_pipeline(params, context)
    with serving(log=context.home / "serve.log") as url:
        skipped = {outcome.model for outcome in outcomes if outcome.verdict == "skipped"}
        answers = {model: answer for model, answer in ask_all(url).items() if model not in skipped}
        absent = ask(f"{url}/v1/models")["absent"]
    bars = list(read_bars(params.gate))
    for line in summarize(outcomes, bars, answers, close_loop(params, context)):
        click.echo(line)
    if missed := [f"{bar.model} {bar.rule.metric}" for bar in bars if not bar.is_met]:
        raise AdloomError(f"under the bar: {', '.join(missed)}; {REPORT} shows where")
    if unserved := [outcome.model for outcome in outcomes if outcome.champion and outcome.model in absent]:
        raise AdloomError(f"not served: {', '.join(unserved)}; the lines above say why")


def read_bars(gate: Gate) -> Iterator[Bar]:
    """Yield every rule with its metric, except those of skipped models."""
    for model in MODELS:
        folder = Path("reports") / model
        if manifest.read(folder).skipped:
            continue
        metrics = read_metrics(folder)
        yield from (Bar(model, rule, metrics.get(rule.metric)) for rule in gate.rules(model) if rule.has_bar)


def summarize(outcomes: list[Outcome], bars: list[Bar], answers: dict[str, str], loop: list[str]) -> Iterator[str]:
    """Yield the lines of the summary: metrics, verdicts, answers, the closed loop, next steps."""
    yield f"\n{'model':11} {'metric':18} {'value':>8}   {'95 % interval':17} bar"
    yield from (_format_bar(bar) for bar in bars)
    yield "\nGate"
    for outcome in outcomes:
        version, champion = outcome.version or "none", outcome.champion or "none"
        yield f"  {outcome.model:11} {outcome.verdict:8} version {version}, champion {champion}"
    yield "\nAsked over HTTP"
    yield from (f"  {name:11} {answer}" for name, answer in answers.items())
    yield "\nLearning from clicks, in a simulated world"
    yield from loop
    yield f"\nReport {REPORT.absolute()}"
    yield NEXT_STEPS


def _format_bar(bar: Bar) -> str:
    target = f"≥ {bar.rule.at_least:g}" if bar.rule.at_least is not None else f"≤ {bar.rule.at_most:g}"
    if bar.metric is None:
        return f"{bar.model:11} {bar.rule.metric:18} {'—':>8}   {'not measured':17} {target}  ✗"
    metric, sign = bar.metric, "✓" if bar.is_met else "✗"
    interval = f"{metric.low:.4g} … {metric.high:.4g}"
    return f"{bar.model:11} {bar.rule.metric:18} {metric.value:8.4g}   {interval:17} {target}  {sign}"
