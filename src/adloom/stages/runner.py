"""What every caller of a stage does: bring s3:// inputs here, lock the outputs, run, send s3:// outputs away."""

import importlib
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import fields, replace
from pathlib import Path

from adloom import threads
from adloom.config.base import ConfigModel
from adloom.config.params import Params
from adloom.context import StageContext
from adloom.errors import WorkerExit
from adloom.storage.locks import exclusive_lock
from adloom.tracking.memory import MemoryTracker
from adloom.training import checkpoints

Metrics = Mapping[str, float | str]


def run_stage(stage: str, paths: Mapping[str, str], params: Params, context: StageContext) -> Metrics:
    """Run one stage by its command name, such as `train-gan`, with its block of the params; else as `execute`."""
    return run_block(stage, paths, params.block(stage.replace("-", "_")), context)


def run_block(stage: str, paths: Mapping[str, str], block: ConfigModel, context: StageContext) -> Metrics:
    """
    Run one stage with its block; a path that is not given is the stage's default.

    Raises LockedError when another run writes one of the outputs. What an s3:// output needs is looked for first, and
    a training's checkpoint goes last, so that neither a misspelt bucket nor a failed push costs the work.

    Of several processes that do the same work the first alone writes: the others are dismissed by the training, or what
    they make is dropped.
    """
    name = stage.replace("-", "_")
    threads.limit_threads(getattr(block, "threads", 1))
    module = importlib.import_module(f"adloom.stages.{name}")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="adloom-")))
        if context.rank > 0:
            paths = dict(paths) | {field.name: str(place / f"dropped-{field.name}") for field in fields(module.Outputs)}
            context = replace(context, home=place, tracker=MemoryTracker(), progress=False)
        remote = {n: path for n, path in _select_paths(module.Outputs, paths) if is_remote(path)}
        for path in remote.values():
            context.store.require(path)
        inputs = module.Inputs(**{n: context.store.fetch(p, place / n) for n, p in _select_paths(module.Inputs, paths)})
        outputs = module.Outputs(**{n: _local(p, place / n) for n, p in _select_paths(module.Outputs, paths)})
        for field in fields(outputs):
            stack.enter_context(_lock_output(getattr(outputs, field.name), context.home))
        try:
            metrics: Metrics = module.run(inputs, outputs, block, context)
        except WorkerExit:
            return {}
        for n, path in remote.items():
            context.store.push(getattr(outputs, n), path)
        for field in fields(outputs):
            checkpoints.discard_finished(context, getattr(outputs, field.name))
    return metrics


def is_remote(path: str) -> bool:
    """Return whether a path lies in a store other than this machine's file system."""
    return path.startswith("s3://")


def _select_paths(kind: type, paths: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(field.name, paths[field.name]) for field in fields(kind) if field.name in paths]


def _local(path: str, place: Path) -> Path:
    return place if is_remote(path) else Path(path)


def _lock_output(output: Path, home: Path) -> AbstractContextManager[None]:
    name = str(output.absolute()).strip("/").replace("/", "-")
    busy = f"{output}: another run is writing it; wait for that run or stop it"
    return exclusive_lock(home / "locks" / f"{name}.lock", busy)
