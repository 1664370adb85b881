"""`adloom models`, `promote` and `rollback`: registered versions, and who is champion."""

from dataclasses import asdict
from pathlib import Path

import click

from adloom.cli.options import AS_JSON, PARAMS, load_context, print_json
from adloom.config.settings import Settings
from adloom.registry import promotion
from adloom.tracking.mlflow_server import describe_place

REASON = click.option("--reason", required=True, help="Why; `adloom models` shows it.")


@click.command("models")
@click.option("--canary", metavar="URL", help="Show how challengers compare with champions in this service instead.")
@PARAMS
@AS_JSON
def models(canary: str | None, params_path: Path, as_json: bool) -> None:
    """
    List registered versions: aliases, metrics, verdicts, and which alias moved when and why.

    Example: adloom models --json
    """
    if canary:
        _print_canary(canary, as_json)
        return
    loaded, context = load_context(params_path)
    rows = list(promotion.summarize(context.registry))
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    if not rows:
        place = describe_place(Settings().tracking_uri)
        click.echo(f"{loaded.project}: no versions in {place}; `adloom run` makes and registers them")
    for line in promotion.format_rows(rows):
        click.echo(line)


def _print_canary(url: str, as_json: bool) -> None:
    from adloom.serving.client import read_metrics
    from adloom.serving.creatives.canary_report import format_canary, parse_canary

    summaries = parse_canary(read_metrics(url))
    if as_json:
        print_json([asdict(summary) for summary in summaries])
        return
    for line in format_canary(summaries):
        click.echo(line)


@click.command("promote")
@PARAMS
@click.argument("model")
@click.argument("version", type=click.IntRange(1))
@REASON
def promote(params_path: Path, model: str, version: int, reason: str) -> None:
    """
    Make a version the champion, regardless of the gate; a policy's audience becomes champion with it.

    Example: adloom promote cnn 2 --reason "compared by eye with the creative team"
    """
    for champion in promotion.promote(load_context(params_path)[1].registry, model, version, reason):
        click.echo(f"{champion.model}: version {champion.version} is the champion")


@click.command("rollback")
@PARAMS
@click.argument("model")
@REASON
def rollback(params_path: Path, model: str, reason: str) -> None:
    """
    Make the previous champion the champion again; audience and policy move as a pair.

    The gate never promotes the rolled-back version again.

    Example: adloom rollback gan --reason "bags lost their handles"
    """
    for champion in promotion.rollback(load_context(params_path)[1].registry, model, reason):
        click.echo(f"{champion.model}: version {champion.version} is the champion again")
