"""
One training of one stage: its artifact, run and checkpoint.

Importing this imports no torch and no Lightning, so that a stage finds wrong data before it spends seconds on them.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adloom.config.training import Training
from adloom.context import StageContext
from adloom.errors import ConfigError
from adloom.storage import manifest
from adloom.tracking.base import Run
from adloom.training import checkpoints
from adloom.training.process_group import SINGLE_PROCESS, ProcessGroup
from adloom.training.tracked_run import track_run

History = dict[str, list[list[float]]]  # {curve: [[optimizer steps so far, value], …]}, a point per epoch


@dataclass(frozen=True)
class TrainingSession:
    """One training of one stage: its artifact, run and checkpoint."""

    stage: str
    draft: manifest.Draft
    run: Run
    checkpoint: Path
    progress: bool
    remote: checkpoints.RemoteCheckpoint | None = None
    group: ProcessGroup = SINGLE_PROCESS

    def describe(self, card: Mapping[str, object], history: History, params: Training) -> None:
        """Write card.json and history.json."""
        self.draft.describe(card, params)
        self.draft.write_json("history.json", history)


@contextmanager
def open_session(
    stage: str, table: Path, target: Path, params: Training, context: StageContext
) -> Iterator[TrainingSession]:
    """
    Yield a session; its draft becomes the artifact `target` when the block ends.

    The checkpoint's folder depends on the table and the params, so only the same command continues from it. Raises
    ArtifactError for a modified table, ConfigError for a wrong number of processes.
    """
    if context.processes != params.processes:
        raise ConfigError(
            f"{stage}: nodes {params.nodes} and devices {params.devices} make {params.processes} processes, "
            f"torchrun started {context.processes}; start {params.processes}, or correct nodes and devices"
        )
    key = hashlib.sha256(f"{manifest.digest(table)} {params.digest()}".encode()).hexdigest()[:16]
    checkpoint = checkpoints.checkpoint_path(context.home, stage, key)
    remote = checkpoints.remote_checkpoint(context, stage, key)
    group = ProcessGroup(context.rank, context.processes)
    with track_run(stage, table, target, params, context) as (draft, run):
        yield TrainingSession(stage, draft, run, checkpoint, context.progress, remote if group.first else None, group)
    checkpoints.mark_finished(checkpoint, target, remote)
