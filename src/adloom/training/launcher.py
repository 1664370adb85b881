"""
Launch the processes of a training with torchrun; each runs `adloom train-…`.

Machines find each other by the variables PET_…, which Kubeflow Trainer sets. A failed process writes its error to the
file that torchrun names.
"""

import json
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeGuard

from adloom.config.base import ConfigModel
from adloom.config.settings import Settings
from adloom.config.training import Training
from adloom.errors import UNEXPECTED, AdloomError, ConfigError, UserError

COMMAND = (sys.executable, "-m", "adloom")


def needs_launch(block: ConfigModel, stage: str, settings: Settings) -> TypeGuard[Training]:
    """Return whether a stage must start several processes. Raises ConfigError when machines are missing."""
    if not isinstance(block, Training) or not block.enabled or block.processes == 1 or settings.processes:
        return False
    if block.nodes > 1 and settings.machines is None:
        command = f"torchrun --nnodes {block.nodes} --nproc-per-node {block.devices} … --no-python adloom {stage}"
        raise ConfigError(
            f"{stage.replace('-', '_')}.nodes: {block.nodes}, but this is one machine; `adloom submit training` runs "
            f"it in a cluster, `{command}` on each of your machines"
        )
    return True


def launch(block: Training, stage: str, settings: Settings, arguments: Sequence[str]) -> None:
    """
    Run adloom with these arguments in each process of this machine, and wait for all.

    Raises the root cause as UserError or AdloomError, KeyboardInterrupt on Ctrl-C.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for name in ("torch.distributed.run", "torch.distributed.elastic"):  # they report one failure in a hundred lines
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    standalone = ["--standalone", f"--nproc-per-node={block.devices}", "--local-addr=127.0.0.1"]
    with tempfile.TemporaryDirectory(prefix="adloom-") as folder:
        options = [f"--log-dir={folder}", *(standalone if settings.machines is None else [])]
        try:
            run.run(run.parse_args([*options, "--no-python", *COMMAND, *arguments]))  # type: ignore[no-untyped-call]
        except ChildFailedError as error:
            raise root_cause(stage, error.failures.values()) from None
        except SignalException as error:
            if error.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            raise SystemExit(128 + error.sigval) from None


def report_error(line: str, settings: Settings) -> bool:
    """Write an error's message to the launcher's file; return whether there is one."""
    if settings.error_file is None:
        return False
    settings.error_file.write_text(json.dumps({"message": line, "timestamp": int(time.time())}), encoding="utf-8")
    return True


def root_cause(stage: str, failures: Iterable[Any]) -> Exception:
    """Return the error of the process that failed first."""
    first = min(failures, key=_rank_failure)
    if first.exitcode >= 0:
        return (UserError if first.exitcode == UserError.exit_code else AdloomError)(first.message)
    name = str(-first.exitcode)
    with suppress(ValueError):
        name = signal.Signals(-first.exitcode).name
    return AdloomError(
        f"{stage}: process {first.local_rank} of this machine was ended by {name}, often because memory ran out; "
        "the same command continues from the last checkpoint"
    )


def _rank_failure(failure: Any) -> tuple[int, int, int]:
    """Return a sort key: root causes, secondary failures, then processes ended by the launcher."""
    severity = 2 if failure.exitcode == -signal.SIGTERM else int(failure.message.startswith(UNEXPECTED))
    return severity, failure.timestamp, failure.local_rank
