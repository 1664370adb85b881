"""`adloom run`: all stages on this machine, from sources to registered models."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import click

from adloom.cli.options import AS_JSON, PARAMS, load_working_context, print_values
from adloom.config.params import Params
from adloom.config.settings import Settings
from adloom.context import StageContext
from adloom.datasets import dataset, pull, run_record, workspace
from adloom.errors import AdloomError
from adloom.registry.verdict import Outcome
from adloom.stages import segment_identity, sources_lock
from adloom.stages.register import register_all


@click.command("run")
@PARAMS
@AS_JSON
def run(params_path: Path, as_json: bool) -> None:
    """
    Run all stages that are out of date, from sources to registered models.

    Example: adloom run
    """
    outcomes = run_pipeline(*load_working_context(params_path))
    print_values({outcome.model: outcome.verdict for outcome in outcomes}, as_json)


def run_pipeline(params: Params, context: StageContext) -> list[Outcome]:
    """
    Scan the sources, run the stages that are out of date with DVC, register every model, and record the run.

    Raises LockedError if another run works in this folder, AdloomError if a stage failed.
    """
    workspace.require_pipeline(Path())
    with workspace.lock_workspace(context.home, Path()):
        scan_sources(params, context)
        segment_identity.fetch_champion(context.registry)
        workspace.initialise_dvc(Path())
        start = time.time()
        if not workspace.run_stages():
            raise AdloomError("dvc repro stopped; the lines above say why, and `adloom run` goes on from there")
        tables = dataset.table_folders(dataset.FOLDER)
        warn_of_unchanged_tables(tables, start)
        digest = dataset.compute_digest(params.project, tables)
        outcomes = register_all(params.register, context, dataset=digest)
        _save_run_record(params, digest, context)
        _keep_segments(context)
        return outcomes


def scan_sources(params: Params, context: StageContext) -> None:
    """Write sources.lock, unless a dataset was pulled that these params would make."""
    if pull.is_pulled(params):
        click.echo(f"the dataset was pulled; `rm -r {pull.RAW}` lets `adloom run` read the sources again", err=True)
        return
    lock = sources_lock.scan(params, context)
    pull.forget_pull()
    sources_lock.save(lock, sources_lock.LOCK)


def warn_of_unchanged_tables(tables: Mapping[str, Path], start: float) -> None:
    """Print the warnings about tables that were prepared before the start; `prepare` printed those of the others."""
    for table, folder in tables.items():
        summary = folder / "summary.json"
        if summary.is_file() and summary.stat().st_mtime < start:
            for warning in json.loads(summary.read_text(encoding="utf-8"))["warnings"]:
                click.echo(f"{table}: {warning}", err=True)


def _keep_segments(context: StageContext) -> None:
    """
    Give `segment` the champion that this run made, without running it again.

    Its own champion changes nothing: the next run would make the same bytes.
    """
    if segment_identity.is_new_champion(context.registry):
        segment_identity.fetch_champion(context.registry)
        workspace.run_dvc("commit", "--force", "--quiet", "segment")


def _save_run_record(params: Params, digest: str, context: StageContext) -> None:
    """Record in MLflow how to repeat this run, unless nothing is new."""
    sources = sources_lock.load(sources_lock.LOCK).digests()
    record = run_record.build_record(params.model_dump(mode="json", by_alias=True), sources, digest, Path(), Settings())
    if run_id := run_record.save_record_if_new(record, context.tracker):
        click.echo(f"recorded in MLflow; `adloom reproduce {run_id}` repeats it", err=True)
