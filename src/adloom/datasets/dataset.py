"""
The prepared dataset: five tables, and a document of their hashes in DVC's remote, datasets/<digest>.json.

The digest is the document's sha256, so equal tables have the same digest everywhere.
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
from adloom.datasets.dvc_cache import DirectoryHash, hash_folder
from adloom.datasets.dvc_remote import Remote
from adloom.errors import ArtifactError, ConfigError, DataError
from adloom.storage import manifest
from adloom.storage.manifest import MANIFEST, Manifest

FOLDER = Path("data/dataset")
MIN_DIGITS = 8  # hex digits that select a dataset
SUGGESTIONS = 3  # datasets named in an error

logger = logging.getLogger(__name__)


class Table(BaseModel):
    """A table of a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: str  # sha256 of its manifest
    md5: str  # of its object in DVC
    bytes: int
    files: int
    rows: dict[str, int]


class Dataset(BaseModel):
    """The document datasets/<digest>.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    project: str
    tables: dict[str, Table]

    def to_bytes(self) -> bytes:
        """Return the document."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()

    @property
    def digest(self) -> str:
        """The sha256 of the document."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


@dataclass(frozen=True)
class StoredDataset:
    """A dataset in a remote."""

    digest: str
    written: datetime
    dataset: Dataset


@dataclass(frozen=True)
class PushResult:
    """A pushed dataset."""

    digest: str
    uploaded: int  # objects that did not exist


def table_folders(folder: Path) -> dict[str, Path]:
    """Return the folder of each table of a dataset."""
    return {table: folder / table for table in TABLES}


def compute_digest(project: str, folders: Mapping[str, Path]) -> str:
    """Return the digest of these tables. Raises ArtifactError as `describe` does."""
    return describe(project, folders)[0].digest


def describe(project: str, folders: Mapping[str, Path]) -> tuple[Dataset, dict[str, DirectoryHash]]:
    """Return the dataset and the hash of each table. Raises ArtifactError when a table was changed."""
    manifests = {table: _verify_table(folders[table]) for table in TABLES}
    hashes = {table: hash_folder(folders[table]) for table in TABLES}
    tables = {
        table: Table(
            manifest=manifest.digest(folders[table]),
            md5=hashes[table].md5,
            bytes=hashes[table].size,
            files=len(manifests[table].files) + 1,
            rows=manifests[table].rows,
        )
        for table in TABLES
    }
    return Dataset(project=project, tables=tables), hashes


def push(project: str, folders: Mapping[str, Path], remote: Remote) -> PushResult:
    """Upload the missing objects of a dataset, its document last."""
    dataset, hashes = describe(project, folders)
    existing = {document.digest for document in remote.list_documents()}
    uploaded = sum(remote.push(folders[table], hashes[table]) for table in TABLES)
    if dataset.digest not in existing:
        remote.write_document(dataset.digest, dataset.to_bytes())
    return PushResult(dataset.digest, uploaded)


def list_datasets(project: str, remote: Remote) -> list[StoredDataset]:
    """Return the datasets of a project, oldest first. Unreadable documents are logged."""
    datasets = []
    for document in remote.list_documents():
        try:
            datasets.append(StoredDataset(document.digest, document.written, read_dataset(remote, document.digest)))
        except DataError as error:
            logger.warning("%s", error)
    return [stored for stored in datasets if stored.dataset.project == project]


def find_dataset(prefix: str, project: str, remote: Remote) -> Dataset:
    """Return the dataset with this prefix of its digest. Raises DataError unless there is exactly one."""
    if not re.fullmatch(rf"[0-9a-f]{{{MIN_DIGITS},64}}", prefix):
        raise ConfigError(f"{prefix}: not a digest; expected its first {MIN_DIGITS} to 64 digits, 0-9 and a-f")
    digests = [document.digest for document in remote.list_documents()]
    matches = [digest for digest in digests if digest.startswith(prefix)]
    if len(matches) > 1:
        raise DataError(f"{prefix}: {len(matches)} datasets match: {', '.join(matches[:SUGGESTIONS])}; add more digits")
    if not matches:
        near = difflib.get_close_matches(prefix, digests, SUGGESTIONS, 0) or digests[-SUGGESTIONS:]
        nearest = f"nearest: {', '.join(near)}" if near else "the remote is empty; `adloom dataset push` uploads one"
        raise DataError(f"{prefix}: no such dataset at {remote.url}; {nearest}")
    dataset = read_dataset(remote, matches[0])
    if dataset.project != project:
        raise ConfigError(f"{prefix}: a dataset of project {dataset.project}, params.yaml says {project}")
    return dataset


def read_dataset(remote: Remote, digest: str) -> Dataset:
    """Return a dataset. Raises DataError when its document is missing, damaged or of another format."""
    content = remote.read_document(digest)
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"{remote.url}/datasets/{digest}.json: damaged; delete it and push the dataset again")
    try:
        return Dataset.model_validate_json(content)
    except ValidationError as error:
        raise DataError(
            f"{remote.url}/datasets/{digest}.json: not a dataset of format 1, which this adloom reads: "
            f"{error.errors()[0]['msg']}"
        ) from None


def _verify_table(folder: Path) -> Manifest:
    """Return a table's manifest. Raises ArtifactError when a file is missing, changed or added."""
    table = manifest.verify(folder)
    if table.stage != "prepare":
        raise ArtifactError(f"{folder}: an artifact of {table.stage}, expected a table of `adloom prepare`")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if extra := sorted(files - table.files.keys() - {MANIFEST}):
        raise ArtifactError(f"{folder / extra[0]}: not part of the table; remove it, or it would be pushed")
    return table
