"""
Object stores of DVC's remotes: S3 by adloom's own client, other remotes by DVC's file systems.

`dvc_data.hashfile.transfer` does not notice when S3 falls silent: with DVC 3.67, connect_timeout=3 and read_timeout=6,
a push and a pull were still waiting after 120 seconds. adloom's client fails within 30 seconds.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from typing_extensions import override

from adloom.connection_errors import describe_error
from adloom.errors import ConfigError, ExternalServiceError
from adloom.storage.base import ObjectInfo, ObjectStore
from adloom.storage.s3 import S3ObjectStore
from adloom.storage.s3_client import S3Client, S3Options

Result = TypeVar("Result")

SESSION = {  # DVC's option: boto3's argument of a session
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
    "profile": "profile_name",
    "region": "region_name",
}
FILES = {"configpath": "config_file", "credentialpath": "credentials_file"}  # DVC's option: botocore's
UPLOAD = {  # DVC's option: S3's argument of an upload
    "acl": "ACL",
    "grant_full_control": "GrantFullControl",
    "grant_read": "GrantRead",
    "grant_read_acp": "GrantReadACP",
    "grant_write_acp": "GrantWriteACP",
    "sse": "ServerSideEncryption",
    "sse_kms_key_id": "SSEKMSKeyId",
}
UNSUPPORTED = ("allow_anonymous_login", "sse_customer_algorithm", "sse_customer_key")
TIMES = ("mtime", "last_modified", "LastModified", "updated", "created")  # each file system has its own name


def open_s3_objects(url: str, config: Mapping[str, Any], endpoint: str | None, options: S3Options) -> ObjectStore:
    """Open a remote in S3 with DVC's options. Raises ConfigError for an unsupported one."""
    if unsupported := next((name for name in UNSUPPORTED if config.get(name)), None):
        raise ConfigError(f"{url}: DVC's option {unsupported} is not supported; `dvc push` and `dvc pull` support it")
    client = S3Client(
        config.get("endpointurl") or endpoint,
        replace(
            options,
            session={SESSION[name]: config[name] for name in SESSION.keys() & config.keys()},
            files={FILES[name]: config[name] for name in FILES.keys() & config.keys()},
            client={"use_ssl": config.get("use_ssl", True), "verify": config.get("ssl_verify")},
        ),
    )
    return S3ObjectStore(url, client, {UPLOAD[name]: config[name] for name in UPLOAD if config.get(name)})


class DvcObjectStore(ObjectStore):
    """Objects as files of one of DVC's file systems."""

    def __init__(self, url: str, fs: Any, root: str) -> None:
        self.url = url.rstrip("/")
        self._fs, self._root = fs, root

    @override
    def list(self, prefix: str) -> dict[str, ObjectInfo]:
        start = self._path(prefix)
        paths = self._call(lambda: [start] if self._fs.isfile(start) else [*self._fs.find(start)])
        infos = self._call(lambda: [self._fs.info(path) for path in paths])
        begin = len(self._root.rstrip("/")) + 1
        return {
            str(path)[begin:]: ObjectInfo(info["size"], _time_written(info))
            for path, info in zip(paths, infos, strict=True)
        }

    @override
    def put(self, path: Path, name: str) -> None:
        self._call(lambda: self._fs.put_file(str(path), self._path(name)))

    @override
    def get(self, name: str, path: Path) -> Path:
        self._call(lambda: self._fs.get_file(self._path(name), str(path)))
        return path

    @override
    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._call(lambda: self._fs.rm_file(self._path(name)))

    def _path(self, name: str) -> str:
        return str(self._fs.join(self._root, *name.split("/")))

    def _call(self, function: Callable[[], Result]) -> Result:
        try:
            return function()
        except OSError:
            raise
        except Exception as error:  # each file system has its own errors
            raise ExternalServiceError(f"{self.url}: {type(error).__name__}: {describe_error(error)}") from error


def _time_written(info: Mapping[str, Any]) -> datetime:
    time = next(info[name] for name in TIMES if name in info)
    return time if isinstance(time, datetime) else datetime.fromtimestamp(float(time)).astimezone()
