"""
Checkpoints: where the last epoch of a training lies until its artifact is where it belongs.

A training that is done leaves a mark beside its checkpoint, and whoever sends the artifact away discards both after
that. Hence the same command after a push that failed goes on from the finished checkpoint.
"""

import shutil
from contextlib import suppress
from pathlib import Path

_MARK = "finished"


def place(home: Path, stage: str, key: str) -> Path:
    """Return where the checkpoint of one training of a stage lies."""
    return home / "checkpoints" / stage / key / "last.ckpt"


def finish(checkpoint: Path, artifact: Path) -> None:
    """Mark a checkpoint as no longer needed once the artifact that was made from it is where it belongs."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    (checkpoint.parent / _MARK).write_text(str(artifact.absolute()), encoding="utf-8")


def discard(home: Path, artifact: Path) -> None:
    """Remove the checkpoints that an artifact was made from."""
    for mark in home.glob(f"checkpoints/*/*/{_MARK}"):
        with suppress(FileNotFoundError):  # another stage may discard its own, and two the same, at the same time
            if mark.read_text(encoding="utf-8") == str(artifact.absolute()):
                shutil.rmtree(mark.parent, ignore_errors=True)
