"""`adloom run`: the whole way on this machine, from sources to registered models."""

from pathlib import Path

import click

from adloom.config.params import Params
from adloom.config.settings import Settings
from adloom.context import StageContext
from adloom.datasets import dataset, pull, run_record, workspace
from adloom.errors import AdloomError
from adloom.registry.verdict import Outcome
from adloom.stages import sources_lock
from adloom.stages.register import register_all


def run(params: Params, context: StageContext) -> list[Outcome]:
    """
    Note the sources, make whatever is out of date with DVC, register every model, record how it was made.

    Raises LockedError when another run works in this folder, AdloomError when a stage failed (it has said why).
    """
    workspace.require_pipeline(Path())
    with workspace.lock_workspace(context.home, Path()):
        _look(params, context)
        _reproduce()
        digest = dataset.compute_digest(params.project, dataset.table_folders(dataset.FOLDER))
        outcomes = register_all(params.register, context, dataset=digest)
        _record(params, digest, context)
        return outcomes


def _look(params: Params, context: StageContext) -> None:
    """Note the sources, unless a dataset was pulled that these params would make: then they are left alone."""
    if pull.is_pulled(params):
        click.echo(f"the dataset was pulled; `rm -r {pull.RAW}` makes `adloom run` look at the sources again", err=True)
        return
    taken = sources_lock.scan(params, context)
    pull.forget_pull()
    sources_lock.save(taken, sources_lock.LOCK)


def _reproduce() -> None:
    workspace.initialise_dvc(Path())
    if workspace.run_dvc("repro") != 0:
        raise AdloomError("dvc repro stopped; the lines above say why, and `adloom run` goes on from there")


def _record(params: Params, digest: str, context: StageContext) -> None:
    """Keep what it takes to repeat this; nothing new is kept when nothing is new."""
    sources = sources_lock.load(sources_lock.LOCK).digests()
    made = run_record.build_record(params.model_dump(mode="json", by_alias=True), sources, digest, Path(), Settings())
    if run_id := run_record.save_record(made, context.tracker):
        click.echo(f"recorded in MLflow; `adloom reproduce {run_id}` repeats it", err=True)
