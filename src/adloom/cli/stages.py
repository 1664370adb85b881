"""A command per stage, made from the stage's dataclasses, and `adloom snapshot`."""

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adloom.cli.options import AS_JSON, PARAMS, load_context, print_values

if TYPE_CHECKING:
    from adloom.config.base import ConfigModel
    from adloom.context import StageContext

STAGES = {
    "ingest": "Copy the source tables into data/raw.",
    "prepare": "Check, pseudonymise and split the tables into data/dataset.",
    "train-gan": "Train the picture generator.",
    "train-cnn": "Train the picture classifier.",
    "train-lstm": "Train the copywriting model.",
    "train-style": "Train the stylizer.",
    "train-music": "Train the composing model.",
    "segment": "Find audience segments.",
    "recommend": "Learn to recommend the next item to a user.",
    "train-policy": "Train the policy that decides which creative to show.",
    "evaluate": "Evaluate one model on its test rows.",
    "report": "Combine all evaluations into one report.html.",
    "register": "Register models, and promote those that pass the gate.",
    "score": "Score new tables with the champions.",
}


def build_command(name: str) -> click.Command:
    """Build a stage's command: an option per path of its inputs and outputs."""
    module = importlib.import_module("adloom.stages." + name.replace("-", "_"))

    @PARAMS
    @AS_JSON
    @click.option("--project", hidden=True, help="Name of the project, with --block.")
    @click.option("--block", help="The stage's parameters as JSON; params.yaml is not read.", hidden=True)
    def command(params_path: Path, as_json: bool, project: str | None, block: str | None, **paths: str | None) -> None:
        from adloom.config.settings import Settings
        from adloom.stages import runner
        from adloom.training import launcher

        overrides = {field: path for field, path in paths.items() if path is not None}
        parameters, context = _load_block(name.replace("-", "_"), params_path, project, block)
        if launcher.needs_launch(parameters, name, Settings()):
            launcher.launch(parameters, name, Settings(), sys.argv[1:])
            return
        metrics = runner.run_stage(name, overrides, parameters, context)
        if context.rank == 0:  # the process that did the work and wrote it
            print_values(dict(metrics), as_json)
            if not metrics and (reason := _find_skip_reason(module.Outputs, overrides)):
                click.echo(f"skipped: {reason}", err=True)

    for paths in (module.Outputs, module.Inputs):
        for field in fields(paths):
            command = _path_option(field)(command)
    return click.command(name, help=module.__doc__, short_help=STAGES[name])(command)


def _find_skip_reason(outputs: type, paths: Mapping[str, str]) -> str | None:
    """Return the reason of the first output that was skipped, of those on this machine."""
    from adloom.storage import manifest

    folders = [Path(paths.get(field.name, str(field.default))) for field in fields(outputs)]
    return manifest.skip_reason(*(folder for folder in folders if (folder / manifest.MANIFEST).is_file()))


def _path_option(field: Any) -> Callable[[Any], Any]:
    default: dict[str, Any] = {}  # None would be a value, so that nothing were required
    if field.default not in {MISSING, None}:
        default = {"default": str(field.default), "show_default": True}
    return click.option(
        f"--{field.name.replace('_', '-')}",
        field.name,
        required=field.default is MISSING,
        metavar="PATH|s3://…",
        **default,
    )


def _load_block(
    stage: str, params_path: Path, project: str | None, block: str | None
) -> "tuple[ConfigModel, StageContext]":
    """Return a stage's parameters, from params.yaml or from the JSON that a pod gets, and the context."""
    from adloom import context
    from adloom.config import params
    from adloom.config.settings import Settings

    if project and block:
        return params.parse(params.stage_class(stage), block), context.build_context(Settings(), project)
    loaded, stage_context = load_context(params_path)
    return loaded.block(stage), stage_context


@click.command("snapshot")
@PARAMS
@AS_JSON
def snapshot(params_path: Path, as_json: bool) -> None:
    """
    Write sources.lock with the digests of the source files, and fetch the champion of the audience segments.

    Stages run again when these change.

    Example: adloom snapshot && adloom ingest
    """
    from adloom.stages import segment_identity, sources_lock

    loaded, context = load_context(params_path)
    lock = sources_lock.scan(loaded, context)
    segment_identity.fetch_champion(context.registry)
    written = sources_lock.save(lock, sources_lock.LOCK)
    files = {table: len(source.files) for table, source in lock.tables.items()}
    print_values({"lock": str(sources_lock.LOCK), "written": written, **files}, as_json)
