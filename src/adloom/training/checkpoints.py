"""
Checkpoints: the last epoch of a training, kept until its artifact is stored.

After a failed push the same command continues from the finished checkpoint. ADLOOM_CHECKPOINT_URI adds a copy in S3,
which survives the machine's disk.
"""

import logging
import shutil
import tempfile
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from adloom.context import StageContext
from adloom.errors import AdloomError, DataError
from adloom.storage.base import Store

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_MARK = "finished"
_NAME = "last.ckpt"
RETRY_FACTOR = 10  # after a failed copy, train this many times as long as the copy took before the next one


class RemoteCheckpoint:
    """The copy of a checkpoint in a store. Failures to push are warnings."""

    def __init__(self, store: Store, uri: str) -> None:
        self._store, self.uri = store, uri
        self._retry_at = 0.0

    def fetch(self, checkpoint: Path) -> None:
        """
        Fetch the copy unless there is a local checkpoint.

        Raises DataError for a missing bucket, ExternalServiceError when S3 does not answer.
        """
        self._store.require(self.uri)
        if checkpoint.exists():
            return
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=checkpoint.parent) as folder, suppress(DataError):  # there is no copy
            copy = self._store.fetch(f"{self.uri}/{_NAME}", Path(folder))
            shutil.copyfile(copy, f"{folder}/whole")
            Path(folder, "whole").replace(checkpoint)

    def push(self, checkpoint: Path, last: bool) -> None:
        """Push a checkpoint. A failure is a warning and delays the next push."""
        start = time.monotonic()
        if start < self._retry_at and not last:
            return
        try:
            with tempfile.TemporaryDirectory(dir=checkpoint.parent) as folder:
                (Path(folder) / _NAME).symlink_to(checkpoint.resolve())
                self._store.push(Path(folder), self.uri)
        except AdloomError as error:
            end = time.monotonic()
            self._retry_at = end + RETRY_FACTOR * (end - start)
            log.warning("%s; the training continues, its checkpoint is on this machine only", error)


def checkpoint_path(home: Path, stage: str, key: str) -> Path:
    """Return the path of a training's checkpoint."""
    return home / "checkpoints" / stage / key / _NAME


def remote_checkpoint(context: StageContext, stage: str, key: str) -> RemoteCheckpoint | None:
    """Return the checkpoint's copy in a store, None without ADLOOM_CHECKPOINT_URI."""
    uri = context.checkpoint_uri
    return RemoteCheckpoint(context.store, f"{uri}/{stage}/{key}") if uri else None


def mark_finished(checkpoint: Path, artifact: Path, remote: RemoteCheckpoint | None = None) -> None:
    """Mark a checkpoint for removal once its artifact is stored."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    lines = [str(artifact.absolute()), *([remote.uri] if remote else [])]
    (checkpoint.parent / _MARK).write_text("\n".join(lines), encoding="utf-8")


def discard_finished(context: StageContext, artifact: Path) -> None:
    """Remove the finished checkpoints of an artifact."""
    for mark in context.home.glob(f"checkpoints/*/*/{_MARK}"):
        with suppress(FileNotFoundError):  # another stage may remove it at the same time
            target, *uris = mark.read_text(encoding="utf-8").splitlines()
            if target == str(artifact.absolute()):
                shutil.rmtree(mark.parent, ignore_errors=True)
                for uri in uris:
                    remove_remote(context.store, uri)


def remove_remote(store: Store, uri: str) -> None:
    """Remove everything under a URI; a failure is a warning."""
    try:
        store.remove(uri)
    except AdloomError as error:
        log.warning("%s; delete it yourself, it is no longer needed", error)


def find_valid_checkpoint(path: Path, module: "torch.nn.Module") -> Path | None:
    """Return the checkpoint's path; log and remove one that does not fit the module."""
    if not path.exists():
        return None
    try:
        _require_valid(path, module)
    except Exception as error:  # noqa: BLE001 - torch has no family of errors for a damaged file
        log.warning("%s: damaged checkpoint (%s), training starts over", path, type(error).__name__)
        path.unlink()
        return None
    return path


def _require_valid(path: Path, module: "torch.nn.Module") -> None:
    """Raise an error when a checkpoint is damaged or of another network."""
    import torch

    with zipfile.ZipFile(path) as archive:  # torch.load does not check the archive's checksums
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} has another checksum")
    saved = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    shapes, expected = ({name: tensor.shape for name, tensor in s.items()} for s in (saved, module.state_dict()))
    if shapes != expected:
        raise ValueError("the network has other weights")
