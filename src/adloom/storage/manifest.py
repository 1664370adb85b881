"""
Artifacts: folders with a manifest of every file, which are complete or absent.

The sha256 of manifest.json is the artifact's digest. A manifest contains no time, host, commit or run id.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from adloom.config.base import ConfigModel
from adloom.errors import ArtifactError
from adloom.storage.base import DISK_FULL_ERRORS, describe_missing

MANIFEST = "manifest.json"


class File(BaseModel):
    """A file of an artifact."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    bytes: int


class Manifest(BaseModel):
    """The content of manifest.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    stage: str
    skipped: str | None = None
    files: dict[str, File] = {}
    rows: dict[str, int] = {}
    facts: dict[str, str] = {}
    params: str
    inputs: dict[str, str] = {}
    environment: dict[str, str] = {}  # variables that select kernels; left out when empty


class Draft:
    """An artifact that is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, int] = {}
        self.facts: dict[str, str] = {}
        self.environment: dict[str, str] = {}

    def write_json(self, name: str, content: object) -> None:
        """Write a JSON file."""
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (self.path / name).write_text(text, encoding="utf-8")

    def describe(self, card: Mapping[str, object], params: ConfigModel) -> None:
        """Write card.json with licence, source, rows and params."""
        origin = {name: self.facts.get(name) for name in ("licence", "source")}
        self.write_json("card.json", {**card, **origin, "rows": self.rows, "params": params.model_dump(mode="json")})


@contextmanager
def draft(target: Path, stage: str, params: ConfigModel, inputs: Mapping[str, Path]) -> Iterator[Draft]:
    """Yield a draft, which becomes the artifact `target` unless the block raises."""
    partial = _create_partial(target)
    try:
        draft = Draft(partial)
        yield draft
        paths = sorted(path for path in partial.rglob("*") if path.is_file())
        manifest = Manifest(
            stage=stage,
            files={str(p.relative_to(partial)): File(sha256=sha256(p), bytes=p.stat().st_size) for p in paths},
            rows=draft.rows,
            facts=draft.facts,
            params=params.digest(),
            inputs={name: digest(path) for name, path in sorted(inputs.items())},
            environment=draft.environment,
        )
        _publish(partial, target, manifest)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in DISK_FULL_ERRORS:
            error.filename = error.filename or str(target)
        raise


def skip(target: Path, stage: str, params: ConfigModel, reason: str) -> None:
    """Write the artifact of a skipped stage: only a manifest with the reason."""
    _publish(_create_partial(target), target, Manifest(stage=stage, skipped=reason, params=params.digest()))


def propagate_skip(target: Path, stage: str, params: ConfigModel, *inputs: Path) -> bool:
    """Write a skipped artifact if an input is skipped or the stage disabled; return whether it did."""
    disabled = None if getattr(params, "enabled", True) else f"{stage}.enabled is false"
    if reason := skip_reason(*inputs) or disabled:
        skip(target, stage, params, reason)
    return reason is not None


def read(folder: Path) -> Manifest:
    """Read a manifest. Raises ArtifactError."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        fault = f"{folder}: no {MANIFEST}" if folder.exists() else describe_missing(folder)
        raise ArtifactError(f"{fault}; run `adloom run`, or the stage that writes it") from None
    except ValidationError as error:
        raise ArtifactError(f"{folder}/{MANIFEST}: not a manifest of format 1: {error.errors()[0]['msg']}") from None


def verify(folder: Path) -> Manifest:
    """Read a manifest and check every file. Raises ArtifactError for the first that differs."""
    manifest = read(folder)
    for name, file in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path}: missing; the manifest lists it, make or fetch {folder.name} again")
        if path.stat().st_size != file.bytes or sha256(path) != file.sha256:
            raise ArtifactError(f"{path}: changed since it was written; make or fetch {folder.name} again")
    return manifest


def is_complete(folder: Path, digest: str) -> bool:
    """Return whether a folder is the complete artifact of a digest."""
    try:
        verify(folder)
    except ArtifactError:
        return False
    return sha256(folder / MANIFEST) == digest


def skip_reason(*folders: Path) -> str | None:
    """Return the reason of the first skipped artifact."""
    return next((reason for folder in folders if (reason := read(folder).skipped)), None)


def digest(folder: Path) -> str:
    """Return an artifact's digest: the sha256 of its manifest."""
    read(folder)
    return sha256(folder / MANIFEST)


def sha256(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _create_partial(target: Path) -> Path:
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def _publish(partial: Path, target: Path, manifest: Manifest) -> None:
    """Write the manifest, then replace the target."""
    with (partial / MANIFEST).open("w", encoding="utf-8") as stream:
        stream.write(
            manifest.model_dump_json(indent=1, exclude=None if manifest.environment else {"environment"}) + "\n"
        )
        stream.flush()
        os.fsync(stream.fileno())
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)
