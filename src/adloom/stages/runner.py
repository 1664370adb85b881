"""Run a stage: fetch s3:// inputs, lock the outputs, run it, push s3:// outputs."""

import importlib
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path

from adloom import garbage_collection, threads
from adloom.config.base import ConfigModel
from adloom.config.params import Params
from adloom.context import StageContext
from adloom.errors import WorkerExit
from adloom.storage.base import is_remote
from adloom.storage.locks import exclusive_lock
from adloom.tracking.memory import MemoryTracker
from adloom.training import checkpoints

Metrics = Mapping[str, float | str]


def run_from_params(stage: str, paths: Mapping[str, str], params: Params, context: StageContext) -> Metrics:
    """Run one stage by its command name, such as `train-gan`, with its block of the params."""
    return run_stage(stage, paths, params.block(stage.replace("-", "_")), context)


def run_stage(stage: str, paths: Mapping[str, str], block: ConfigModel, context: StageContext) -> Metrics:
    """
    Run one stage with its block; paths default to the stage's own.

    Raises LockedError when another run writes an output. s3:// outputs are checked before the work and checkpoints
    removed last, so that a failed push does not cost the work. Only rank 0 writes outputs.
    """
    name = stage.replace("-", "_")
    garbage_collection.skip_imports()
    threads.limit_threads(getattr(block, "threads", 1))
    module = importlib.import_module(f"adloom.stages.{name}")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="adloom-")))
        if context.rank > 0:
            dropped = {field.name: str(scratch / f"dropped-{field.name}") for field in fields(module.Outputs)}
            paths = {**paths, **dropped}
            context = replace(context, home=scratch, tracker=MemoryTracker(), progress=False)
        remote = {n: path for n, path in _select_paths(module.Outputs, paths) if is_remote(path)}
        for path in remote.values():
            context.store.require(path)
        fetched = {
            n: context.store.fetch(path, scratch / n) if is_remote(path) else Path(path)
            for n, path in _select_paths(module.Inputs, paths)
        }
        inputs = module.Inputs(**fetched)
        local = {n: scratch / n if n in remote else Path(p) for n, p in _select_paths(module.Outputs, paths)}
        outputs = module.Outputs(**local)
        for field in fields(outputs):
            output: Path = getattr(outputs, field.name)
            lock = str(output.absolute()).strip("/").replace("/", "-")
            message = f"{output}: another run is writing it; wait for that run or stop it"
            stack.enter_context(exclusive_lock(context.home / "locks" / f"{lock}.lock", message))
        try:
            metrics: Metrics = module.run(inputs, outputs, block, context)
        except WorkerExit:
            return {}
        for n, path in remote.items():
            context.store.push(getattr(outputs, n), path)
        for field in fields(outputs):
            checkpoints.discard_finished(context, getattr(outputs, field.name))
    return metrics


def _select_paths(kind: type, paths: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(field.name, paths[field.name]) for field in fields(kind) if field.name in paths]
