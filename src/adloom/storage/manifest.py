"""
Artifacts: folders that are complete or absent, with a manifest that names every byte.

A stage writes into a draft beside the final place; the manifest is written last, then the draft is renamed. The sha256
of manifest.json is the artifact's digest, its one name everywhere. No time, host, commit or run id is in it.
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

MANIFEST = "manifest.json"


class File(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    bytes: int


class Manifest(BaseModel):
    """What an artifact is made of and made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    stage: str
    skipped: str | None = None
    files: dict[str, File] = {}
    rows: dict[str, int] = {}
    facts: dict[str, str] = {}
    params: str
    inputs: dict[str, str] = {}
    environment: dict[str, str] = {}  # variables that chose how its numbers were computed; left out when there are none


class Draft:
    """An artifact while it is being written."""

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
        """Write a model's card.json, with licence, source, rows and params added."""
        origin = {name: self.facts.get(name) for name in ("licence", "source")}
        self.write_json("card.json", {**card, **origin, "rows": self.rows, "params": params.model_dump(mode="json")})


@contextmanager
def draft(target: Path, stage: str, params: ConfigModel, inputs: Mapping[str, Path]) -> Iterator[Draft]:
    """Yield a Draft whose files become the artifact `target` when the block ends, and vanish when it raises."""
    beside = _begin(target)
    try:
        made = Draft(beside)
        yield made
        made_from = {name: digest(path) for name, path in sorted(inputs.items())}
        manifest = Manifest(
            stage=stage,
            files=_files(beside),
            rows=made.rows,
            facts=made.facts,
            params=params.digest(),
            inputs=made_from,
            environment=made.environment,
        )
        _seal(beside, target, manifest)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def skip(target: Path, stage: str, params: ConfigModel, reason: str) -> None:
    """Write the artifact of a stage that did not run: a manifest with `skipped: reason` and nothing else."""
    _seal(_begin(target), target, Manifest(stage=stage, skipped=reason, params=params.digest()))


def propagate_skip(target: Path, stage: str, params: ConfigModel, *inputs: Path) -> bool:
    """Write a skipped artifact when an input is one, or `enabled: false` switches the stage off; return whether so."""
    off = None if getattr(params, "enabled", True) else f"{stage}.enabled is false"
    if reason := skip_reason(*inputs) or off:
        skip(target, stage, params, reason)
    return reason is not None


def read(folder: Path) -> Manifest:
    """Read an artifact's manifest, without its files. Raises ArtifactError when there is none."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{folder}: no {MANIFEST}; run `adloom run`, or the stage that makes it") from None
    except ValidationError as error:
        raise ArtifactError(f"{folder}/{MANIFEST}: not a manifest of format 1: {error.errors()[0]['msg']}") from None


def verify(folder: Path) -> Manifest:
    """Read an artifact's manifest and check every file. Raises ArtifactError naming the first that differs."""
    manifest = read(folder)
    for name, file in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path}: missing; the manifest lists it, make or fetch {folder.name} again")
        if path.stat().st_size != file.bytes or sha256(path) != file.sha256:
            raise ArtifactError(f"{path}: changed since it was written; make or fetch {folder.name} again")
    return manifest


def is_complete(folder: Path, digest: str) -> bool:
    """Return whether a folder is the artifact of this digest, every byte of it."""
    try:
        verify(folder)
    except ArtifactError:
        return False
    return sha256(folder / MANIFEST) == digest


def skip_reason(*folders: Path) -> str | None:
    """Return why the first skipped one of these artifacts was skipped, None when all are real."""
    return next((reason for folder in folders if (reason := read(folder).skipped)), None)


def digest(folder: Path) -> str:
    """Return an artifact's digest: the sha256 of its manifest."""
    read(folder)
    return sha256(folder / MANIFEST)


def sha256(path: Path) -> str:
    """Return the sha256 of a file, 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _begin(target: Path) -> Path:
    """Return an empty folder beside the target."""
    beside = target.with_name(f".{target.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    return beside


def _files(folder: Path) -> dict[str, File]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): File(sha256=sha256(p), bytes=p.stat().st_size) for p in paths}


def _seal(beside: Path, target: Path, manifest: Manifest) -> None:
    with (beside / MANIFEST).open("w", encoding="utf-8") as stream:
        stream.write(
            manifest.model_dump_json(indent=1, exclude=None if manifest.environment else {"environment"}) + "\n"
        )
        stream.flush()
        os.fsync(stream.fileno())
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    beside.rename(target)
    shutil.rmtree(old, ignore_errors=True)
