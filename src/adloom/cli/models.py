"""The commands of promotion: which versions there are, which is the champion, and a person's word on it."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from adloom.cli.main import AS_JSON, PARAMS, opened
from adloom.registry import promotion


@click.command("models")
@PARAMS
@AS_JSON
def models(params_path: Path, as_json: bool) -> None:
    """
    List registered versions: aliases, numbers, verdicts, and which alias moved when and why.

    Example: adloom models --json
    """
    rows = list(promotion.summarize(opened(params_path)[1].registry))
    lines = (
        [json.dumps([asdict(row) for row in rows], indent=1, default=str)] if as_json else promotion.format_rows(rows)
    )
    for line in lines:
        click.echo(line)


@click.command("promote")
@PARAMS
@click.argument("model")
@click.argument("version", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why; it is kept and shown by `adloom models`.")
def promote(params_path: Path, model: str, version: int, reason: str) -> None:
    """
    Make a version the champion, whatever the gate said; a policy takes its audience along.

    Example: adloom promote cnn 2 --reason "compared by eye with the creative team"
    """
    for named in promotion.promote(opened(params_path)[1].registry, model, version, reason):
        click.echo(f"{named.model}: version {named.version} is the champion")


@click.command("rollback")
@PARAMS
@click.argument("model")
@click.option("--reason", required=True, help="Why; it is kept and shown by `adloom models`.")
def rollback(params_path: Path, model: str, reason: str) -> None:
    """
    Make the previous champion the champion again, audience and policy as a pair; the gate does not bring back what was
    rolled back.

    Example: adloom rollback gan --reason "bags lost their handles"
    """
    for named in promotion.rollback(opened(params_path)[1].registry, model, reason):
        click.echo(f"{named.model}: version {named.version} is the champion again")
