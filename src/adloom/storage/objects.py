"""
Objects of a remote, by their names below its address: in S3, in a folder, or in files that DVC's library reaches.

The remote is DVC's, or the decision log's. S3 is spoken to with boto3 as everywhere in adloom, for DVC's own client
waits forever for a server that takes no more bytes; what `dvc remote modify` set holds for both.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from adloom.connection_errors import describe
from adloom.errors import ConfigError, ExternalServiceError
from adloom.storage.s3 import BLOCK, address, connect
from adloom.storage.s3_errors import PATIENCE, Made, Patience, translate_errors

SESSION = {  # DVC's word: boto3's
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
    "profile": "profile_name",
    "region": "region_name",
}
FILES = {"configpath": "config_file", "credentialpath": "credentials_file"}  # DVC's word: botocore's
SENT_WITH = {  # DVC's word: S3's, for each object that is sent
    "acl": "ACL",
    "grant_full_control": "GrantFullControl",
    "grant_read": "GrantRead",
    "grant_read_acp": "GrantReadACP",
    "grant_write_acp": "GrantWriteACP",
    "sse": "ServerSideEncryption",
    "sse_kms_key_id": "SSEKMSKeyId",
}
UNKNOWN = ("allow_anonymous_login", "sse_customer_algorithm", "sse_customer_key")


@dataclass(frozen=True)
class ObjectInfo:
    """An object that is there."""

    size: int  # bytes
    written: datetime


class ObjectStore(Protocol):
    """What datasets need of a remote."""

    url: str

    def below(self, prefix: str) -> Mapping[str, ObjectInfo]:
        """Return the object of this name, and those below it."""
        ...

    def send(self, path: Path, name: str) -> None:
        """Make a file an object, which is there whole or not at all."""
        ...

    def fetch(self, name: str, path: Path) -> Path:
        """Write an object to a path, and return that. Raises FileNotFoundError when there is none."""
        ...

    def remove(self, name: str) -> None:
        """Delete an object, if it is there."""
        ...


class S3Objects:
    """Objects in S3. What it does wrong is one line, within 30 seconds."""

    def __init__(self, url: str, options: Mapping[str, Any], endpoint: str | None, patience: Patience) -> None:
        if refused := next((name for name in UNKNOWN if options.get(name)), None):
            raise ConfigError(f"{url}: adloom does not know DVC's option {refused}; `dvc push` and `dvc pull` do")
        self.url = url.rstrip("/")
        self._at, self._options = address(url), options
        self._endpoint = options.get("endpointurl") or endpoint
        self._sent_with = {SENT_WITH[name]: options[name] for name in SENT_WITH if options.get(name)}
        self._patience = patience

    def below(self, prefix: str) -> dict[str, ObjectInfo]:
        """Return the object of this name, and those below it."""
        return self._asked(lambda: self._listed(prefix))

    def send(self, path: Path, name: str) -> None:
        """Send a file in one piece."""

        def send() -> None:
            with path.open("rb") as stream:
                key = self._at.below(name)
                self._client.put_object(Bucket=self._at.bucket, Key=key, Body=stream, **self._sent_with)

        self._asked(send)

    def fetch(self, name: str, path: Path) -> Path:
        """Write an object to a path."""
        from botocore.exceptions import ClientError

        def fetch() -> bool:
            try:
                got = self._client.get_object(Bucket=self._at.bucket, Key=self._at.below(name))
            except ClientError as error:
                if error.response["Error"].get("Code") == "NoSuchKey":
                    return False
                raise
            with path.open("wb") as stream:
                for block in got["Body"].iter_chunks(BLOCK):
                    stream.write(block)
            return True

        if not self._asked(fetch):
            raise FileNotFoundError(f"{self.url}/{name}")
        return path

    def remove(self, name: str) -> None:
        """Delete an object."""
        self._asked(lambda: self._client.delete_object(Bucket=self._at.bucket, Key=self._at.below(name)))

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.session import Session

        core = Session()
        for name in FILES.keys() & self._options.keys():
            core.set_config_variable(FILES[name], self._options[name])
        given = {SESSION[name]: self._options[name] for name in SESSION.keys() & self._options.keys()}
        session = boto3.Session(botocore_session=core, **given)
        secure = {"use_ssl": self._options.get("use_ssl", True), "verify": self._options.get("ssl_verify")}
        return connect(session, self._endpoint, self._patience, **secure)

    def _listed(self, prefix: str) -> dict[str, ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._at.bucket, Prefix=self._at.below(prefix)
        )
        entries = [entry for page in pages for entry in page.get("Contents", [])]
        start = len(self._at.below(""))
        return {entry["Key"][start:]: ObjectInfo(entry["Size"], entry["LastModified"]) for entry in entries}

    def _asked(self, do: Callable[[], Made]) -> Made:
        with translate_errors(self.url, self._endpoint):
            return self._patience.tried(do)


class FolderObjects:
    """Objects as files of a folder on this machine."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._root = Path(url)

    def below(self, prefix: str) -> dict[str, ObjectInfo]:
        """Return the file of this name, and those below it."""
        at = self._root / prefix
        paths = [at] if at.is_file() else [path for path in at.rglob("*") if path.is_file()]
        found = {path.relative_to(self._root).as_posix(): path.stat() for path in sorted(paths)}
        return {
            name: ObjectInfo(s.st_size, datetime.fromtimestamp(s.st_mtime).astimezone()) for name, s in found.items()
        }

    def send(self, path: Path, name: str) -> None:
        """Copy a file beside its place, then move it there."""
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".", dir=target.parent, delete=False) as beside:
            try:
                with path.open("rb") as stream:
                    shutil.copyfileobj(stream, beside, BLOCK)
                beside.flush()
                os.fsync(beside.fileno())
                Path(beside.name).rename(target)
            except BaseException:
                Path(beside.name).unlink(missing_ok=True)
                raise

    def fetch(self, name: str, path: Path) -> Path:
        """Copy a file to a path."""
        return Path(shutil.copyfile(self._root / name, path))

    def remove(self, name: str) -> None:
        """Delete a file."""
        (self._root / name).unlink(missing_ok=True)


class FileObjects:
    """Objects as files, in a folder or wherever else a file system of DVC's reaches."""

    def __init__(self, url: str, fs: Any, root: str) -> None:
        self.url = url.rstrip("/")
        self._fs, self._root = fs, root

    def below(self, prefix: str) -> dict[str, ObjectInfo]:
        """Return the object of this name, and those below it."""
        at = self._at(prefix)
        paths = self._asked(lambda: [at] if self._fs.isfile(at) else [*self._fs.find(at)])
        infos = self._asked(lambda: [self._fs.info(path) for path in paths])
        start = len(self._root.rstrip("/")) + 1
        return {
            str(path)[start:]: ObjectInfo(info["size"], _written(info)) for path, info in zip(paths, infos, strict=True)
        }

    def send(self, path: Path, name: str) -> None:
        """Copy a file beside its place, then move it there."""
        self._asked(lambda: self._fs.put_file(str(path), self._at(name)))

    def fetch(self, name: str, path: Path) -> Path:
        """Copy an object to a path."""
        self._asked(lambda: self._fs.get_file(self._at(name), str(path)))
        return path

    def remove(self, name: str) -> None:
        """Delete an object."""
        with suppress(FileNotFoundError):
            self._asked(lambda: self._fs.rm_file(self._at(name)))

    def _at(self, name: str) -> str:
        return str(self._fs.join(self._root, *name.split("/")))

    def _asked(self, do: Callable[[], Made]) -> Made:
        try:
            return do()
        except OSError:
            raise
        except Exception as error:  # each kind of remote has errors of its own
            raise ExternalServiceError(f"{self.url}: {type(error).__name__}: {describe(error)}") from error


def open_object_store(url: str, endpoint: str | None, patience: Patience = PATIENCE) -> ObjectStore:
    """Return the objects below an address: s3://bucket/prefix, or a folder."""
    return S3Objects(url, {}, endpoint, patience) if url.startswith("s3://") else FolderObjects(url)


def _written(info: Mapping[str, Any]) -> datetime:
    """Return when a file was written, which file systems say in words of their own."""
    when = next(info[name] for name in ("mtime", "last_modified", "LastModified", "updated", "created") if name in info)
    return when if isinstance(when, datetime) else datetime.fromtimestamp(float(when)).astimezone()
