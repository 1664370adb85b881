"""
The prepared dataset as one thing with one name: its digest.

A dataset is the four prepared tables, skipped ones too. What it is stands in datasets/<digest>.json in DVC's remote, a
document whose sha256 is the digest; so equal tables have one digest wherever and whenever they are made, and a digest
names its tables' every byte. Raw tables and keys never travel.
"""

import difflib
import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from adloom.config.params import TABLES
from adloom.datasets import dvc_remote
from adloom.datasets.dvc_remote import DirectoryHash, Remote
from adloom.errors import ArtifactError, ConfigError, DataError
from adloom.storage import manifest
from adloom.storage.manifest import MANIFEST, Manifest

FOLDER = Path("data/dataset")
MIN_DIGITS = 8  # hex digits that name a dataset when no other begins with them
SHOWN = 3  # datasets named in an error

logger = logging.getLogger(__name__)


class Table(BaseModel):
    """One table of a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: str  # sha256 of its manifest
    md5: str  # of its object in DVC
    bytes: int
    files: int
    rows: dict[str, int]


class Dataset(BaseModel):
    """What datasets/<digest>.json says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    project: str
    tables: dict[str, Table]

    def to_bytes(self) -> bytes:
        """Return the document, whose sha256 is the digest."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()

    @property
    def digest(self) -> str:
        """The one name of this dataset, 64 hex digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


@dataclass(frozen=True)
class StoredDataset:
    """A dataset in a remote."""

    digest: str
    written: datetime
    dataset: Dataset


@dataclass(frozen=True)
class PushResult:
    """A dataset that is in a remote now."""

    digest: str
    sent: int  # objects that were not there before


def table_folders(folder: Path) -> dict[str, Path]:
    """Return where the tables of a dataset lie below a folder."""
    return {table: folder / table for table in TABLES}


def compute_digest(project: str, folders: Mapping[str, Path]) -> str:
    """Return the digest of the tables in these folders, pushed or not; raises as `describe` does."""
    return describe(project, folders)[0].digest


def describe(project: str, folders: Mapping[str, Path]) -> tuple[Dataset, dict[str, DirectoryHash]]:
    """Return what a dataset is, and its content by table. Raises ArtifactError when a table is not as written."""
    made = {table: _whole(folders[table]) for table in TABLES}
    content = {table: dvc_remote.hash_folder(folders[table]) for table in TABLES}
    described = {
        table: Table(
            manifest=manifest.digest(folders[table]),
            md5=content[table].md5,
            bytes=content[table].size,
            files=len(made[table].files) + 1,
            rows=made[table].rows,
        )
        for table in TABLES
    }
    return Dataset(project=project, tables=described), content


def push(project: str, folders: Mapping[str, Path], remote: Remote) -> PushResult:
    """Bring a dataset into a remote, its document last; what is there already is not sent again."""
    dataset, content = describe(project, folders)
    known = {document.digest for document in remote.documents()}
    sent = sum(remote.push(folders[table], content[table]) for table in TABLES)
    if dataset.digest not in known:
        remote.write(dataset.digest, dataset.to_bytes())
    return PushResult(dataset.digest, sent)


def list_datasets(project: str, remote: Remote) -> list[StoredDataset]:
    """Return the datasets of a project, oldest first; a document that cannot be read is left out with a warning."""
    found = []
    for one in remote.documents():
        try:
            found.append(StoredDataset(one.digest, one.written, read_dataset(remote, one.digest)))
        except DataError as error:
            logger.warning("%s", error)
    return [one for one in found if one.dataset.project == project]


def find_dataset(asked: str, project: str, remote: Remote) -> Dataset:
    """Return the one dataset whose digest begins so. Raises DataError when there is none, or more than one."""
    if not re.fullmatch(rf"[0-9a-f]{{{MIN_DIGITS},64}}", asked):
        raise ConfigError(f"{asked}: not a digest; expected its first {MIN_DIGITS} to 64 digits, 0-9 and a-f")
    known = [document.digest for document in remote.documents()]
    found = [digest for digest in known if digest.startswith(asked)]
    if len(found) > 1:
        raise DataError(f"{asked}: {len(found)} datasets begin so: {', '.join(found[:SHOWN])}; give more digits")
    if not found:
        near = difflib.get_close_matches(asked, known, SHOWN, 0) or known[-SHOWN:]
        nearest = f"nearest: {', '.join(near)}" if near else "it holds none; `adloom dataset push` brings one there"
        raise DataError(f"{asked}: no such dataset at {remote.url}; {nearest}")
    dataset = read_dataset(remote, found[0])
    if dataset.project != project:
        raise ConfigError(f"{asked}: a dataset of project {dataset.project}, params.yaml says {project}")
    return dataset


def _whole(folder: Path) -> Manifest:
    """Return the manifest of a table that is what was written and nothing else."""
    made = manifest.verify(folder)
    if made.stage != "prepare":
        raise ArtifactError(f"{folder}: made by {made.stage}, expected a table that `adloom prepare` made")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if strange := sorted(present - made.files.keys() - {MANIFEST}):
        raise ArtifactError(f"{folder / strange[0]}: not part of the table; take it out, else it would be pushed")
    return made


def read_dataset(remote: Remote, digest: str) -> Dataset:
    """Return a dataset of a remote. Raises DataError when its document is gone, damaged or of another format."""
    content = remote.read(digest)
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"{remote.url}/datasets/{digest}.json: damaged; delete it and push the dataset again")
    try:
        return Dataset.model_validate_json(content)
    except ValidationError as error:
        raise DataError(
            f"{remote.url}/datasets/{digest}.json: not a dataset of format 1, which this adloom reads: "
            f"{error.errors()[0]['msg']}"
        ) from None
