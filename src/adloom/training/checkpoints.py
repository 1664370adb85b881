"""
Checkpoints: where the last epoch of a training lies until its artifact is where it belongs.

A training that is done leaves a mark beside its checkpoint, and whoever sends the artifact away discards both after
that. Hence the same command after a push that failed goes on from the finished checkpoint.

Where ADLOOM_CHECKPOINT_URI is set the checkpoint lies there as well, for a machine that goes with its disk.
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
RETRY_FACTOR = 10  # a copy that failed is tried again once ten times as long has been trained as it was waited for


class RemoteCheckpoint:
    """Where a checkpoint lies as well; nothing that goes wrong there ends a training that goes on."""

    def __init__(self, store: Store, uri: str) -> None:
        self._store, self.uri = store, uri
        self._again = 0.0

    def fetch(self, checkpoint: Path) -> None:
        """
        Bring the copy here, where there is one and none is here.

        Raises DataError when its bucket is not there, ExternalServiceError when S3 does not answer.
        """
        self._store.require(self.uri)
        if checkpoint.exists():
            return
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=checkpoint.parent) as place, suppress(DataError):  # there is none
            found = self._store.fetch(f"{self.uri}/{_NAME}", Path(place))
            shutil.copyfile(found, f"{place}/whole")
            Path(place, "whole").replace(checkpoint)

    def push(self, checkpoint: Path, last: bool) -> None:
        """Send a checkpoint there; that it cannot be is a warning, and after one only now and then tried again."""
        begun = time.monotonic()
        if begun < self._again and not last:
            return
        try:
            with tempfile.TemporaryDirectory(dir=checkpoint.parent) as place:
                (Path(place) / _NAME).symlink_to(checkpoint.resolve())
                self._store.push(Path(place), self.uri)
        except AdloomError as error:
            now = time.monotonic()
            self._again = now + RETRY_FACTOR * (now - begun)
            log.warning("%s; the training goes on, its checkpoint lies on this machine alone", error)


def checkpoint_path(home: Path, stage: str, key: str) -> Path:
    """Return where the checkpoint of one training of a stage lies."""
    return home / "checkpoints" / stage / key / _NAME


def remote_checkpoint(context: StageContext, stage: str, key: str) -> RemoteCheckpoint | None:
    """Return where it lies as well, None where it lies on this machine alone."""
    uri = context.checkpoint_uri
    return RemoteCheckpoint(context.store, f"{uri}/{stage}/{key}") if uri else None


def mark_finished(checkpoint: Path, artifact: Path, copied: RemoteCheckpoint | None = None) -> None:
    """Mark a checkpoint as no longer needed once the artifact that was made from it is where it belongs."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    lines = [str(artifact.absolute()), *([copied.uri] if copied else [])]
    (checkpoint.parent / _MARK).write_text("\n".join(lines), encoding="utf-8")


def discard_finished(context: StageContext, artifact: Path) -> None:
    """Remove the checkpoints that an artifact was made from; that a copy cannot be removed is a warning."""
    for mark in context.home.glob(f"checkpoints/*/*/{_MARK}"):
        with suppress(FileNotFoundError):  # another stage may discard its own, and two the same, at the same time
            made, *uris = mark.read_text(encoding="utf-8").splitlines()
            if made == str(artifact.absolute()):
                shutil.rmtree(mark.parent, ignore_errors=True)
                for uri in uris:
                    remove_remote(context.store, uri)


def remove_remote(store: Store, uri: str) -> None:
    """Remove what is no longer needed below a uri; that it cannot be is a warning."""
    try:
        store.remove(uri)
    except AdloomError as error:
        log.warning("%s; what lies there is no longer needed and may be deleted", error)


def find_valid_checkpoint(path: Path, module: "torch.nn.Module") -> Path | None:
    """Return the checkpoint's path when it fits the module; one that does not is removed with a line in the log."""
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
    """Raise some error when a checkpoint is damaged or of another network."""
    import torch

    with zipfile.ZipFile(path) as archive:  # what torch.save writes, with sums that torch.load does not look at
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} has another sum")
    found = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    shapes, expected = ({name: tensor.shape for name, tensor in s.items()} for s in (found, module.state_dict()))
    if shapes != expected:
        raise ValueError("the network has other weights")
