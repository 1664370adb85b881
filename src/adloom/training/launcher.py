"""
Starting the processes of a training: `adloom train-…` starts itself in each of them, by torchrun's own machinery.

One machine is enough to itself. Several are told of each other by the variables PET_…, which Kubeflow Trainer sets in
its pods. A process that fails leaves its one line in the file that torchrun names; who started it says the first.
"""

import json
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from adloom.config.base import ConfigModel
from adloom.config.params import Training
from adloom.config.settings import Settings
from adloom.context import StageContext
from adloom.errors import UNEXPECTED, AdloomError, ConfigError, UserError
from adloom.stages import runner
from adloom.stages.runner import Metrics

COMMAND = (sys.executable, "-m", "adloom")


def run_or_launch(
    stage: str, paths: Mapping[str, str], block: ConfigModel, context: StageContext, arguments: Sequence[str]
) -> Metrics | None:
    """
    Run a stage as `caller.execute` does, in as many processes as its block asks for; they get adloom's arguments.

    Only in the process that did the work and wrote it are there metrics.
    """
    settings = Settings()
    if isinstance(block, Training) and needs_launch(stage, block, settings):
        launch(stage, block, settings, arguments)
        return None
    metrics = runner.run_block(stage, paths, block, context)
    return metrics if context.rank == 0 else None


def needs_launch(stage: str, block: Training, settings: Settings) -> bool:
    """Return whether a stage is to be started in several processes. Raises ConfigError for machines that are not."""
    if not block.enabled or block.processes == 1 or settings.processes:
        return False
    if block.nodes > 1 and settings.machines is None:
        command = f"torchrun --nnodes {block.nodes} --nproc-per-node {block.devices} … --no-python adloom {stage}"
        raise ConfigError(
            f"{stage.replace('-', '_')}.nodes: {block.nodes}, and this is one machine; `adloom submit training` runs "
            f"it in a cluster, `{command}` on each of your machines"
        )
    return True


def launch(stage: str, block: Training, settings: Settings, arguments: Sequence[str]) -> None:
    """
    Run adloom with these arguments in each process of this machine, and wait for all of them.

    Raises UserError or AdloomError with the line of the process that failed first, KeyboardInterrupt on Ctrl-C.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for loud in ("torch.distributed.run", "torch.distributed.elastic"):  # which tell of one failure in a hundred lines
        logging.getLogger(loud).addHandler(logging.NullHandler())
        logging.getLogger(loud).propagate = False
    alone = ["--standalone", f"--nproc-per-node={block.devices}", "--local-addr=127.0.0.1"]
    with tempfile.TemporaryDirectory(prefix="adloom-") as place:
        where = [f"--log-dir={place}", *(alone if settings.machines is None else [])]
        try:
            run.run(run.parse_args([*where, "--no-python", *COMMAND, *arguments]))  # type: ignore[no-untyped-call]
        except ChildFailedError as error:
            raise root_cause(stage, error.failures.values()) from None
        except SignalException as error:
            if error.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise SystemExit(128 + error.sigval) from None


def report_error(line: str, settings: Settings) -> bool:
    """Leave the line of an error with whoever started this process; return whether there is such a one."""
    if settings.error_file is None:
        return False
    settings.error_file.write_text(json.dumps({"message": line, "timestamp": int(time.time())}), encoding="utf-8")
    return True


def root_cause(stage: str, failures: Iterable[Any]) -> Exception:
    """Return what to raise for the process that failed first."""
    first = min(failures, key=_blame_order)
    if first.exitcode >= 0:
        return (UserError if first.exitcode == UserError.exit_code else AdloomError)(first.message)
    name = str(-first.exitcode)
    with suppress(ValueError):
        name = signal.Signals(-first.exitcode).name
    return AdloomError(
        f"{stage}: process {first.local_rank} of this machine was ended by {name}, often for want of memory; "
        "the same command goes on from the last checkpoint"
    )


def _blame_order(failure: Any) -> tuple[int, int, int]:
    """Order failures: who knows why is before who lost another, and that before who was ended for another's sake."""
    consequence = 2 if failure.exitcode == -signal.SIGTERM else int(failure.message.startswith(UNEXPECTED))
    return consequence, failure.timestamp, failure.local_rank
