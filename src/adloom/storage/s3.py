"""Storage in S3 below s3://bucket/prefix."""

import re
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError
from typing_extensions import override

from adloom.errors import ConfigError, DataError
from adloom.storage.base import ObjectInfo, ObjectStore, SourceFile, Store
from adloom.storage.key_paths import assign_paths
from adloom.storage.manifest import MANIFEST, Manifest
from adloom.storage.s3_client import Address, S3Client, S3Options, parse_address
from adloom.storage.transfers import map_concurrently


class S3Store(Store):
    """Files by s3:// URI."""

    def __init__(self, endpoint: str | None, progress: bool, options: S3Options | None = None) -> None:
        self._client = S3Client(endpoint, options)
        self._progress = progress

    @override
    def list(self, uri: str) -> list[SourceFile]:
        return list(self._find(uri).values())

    @override
    def add_versions(self, uri: str, files: Sequence[SourceFile]) -> Sequence[SourceFile]:
        del uri
        return files  # a listing has ETags

    @override
    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        """Download the object at a URI, or all objects below it."""
        address = parse_address(uri)
        files = {key: file for key, file in self._find(uri).items() if paths is None or file.path in paths}
        downloaded = map_concurrently(
            lambda item: self._download(address.bucket, *item, folder), files.items(), uri, self._progress
        )
        return downloaded[0] if [*files] == [address.key] else folder

    @override
    def read_start(self, uri: str, size: int) -> bytes:
        """Download the start only."""
        address = parse_address(uri)
        with self._client.translate_errors(uri):
            return self._client.read_start(address.bucket, address.key, size)

    @override
    def require(self, uri: str) -> None:
        """Raise for a whole bucket, and for one that is missing or may not be listed."""
        address = _parse_prefix(uri)
        with self._client.translate_errors(uri):
            self._client.first_key(address.bucket, address.key)

    @override
    def push(self, folder: Path, uri: str) -> None:
        """
        Upload a folder's files, the manifest last.

        Delete only what the old artifact's manifest lists. Raises ConfigError for a whole bucket.
        """
        address = _parse_prefix(uri)
        marker = address.join(MANIFEST)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        paths = {address.join(path.relative_to(folder).as_posix()): path for path in files}
        with self._client.translate_errors(uri):
            existing = self._objects(address)
            old = self._artifact_keys(address, existing) & existing.keys()
            self._remove(address.bucket, old & {marker})
            self._upload(uri, {key: path for key, path in paths.items() if key != marker})
            self._remove(address.bucket, old - paths.keys() - {marker})
            self._upload(uri, {key: path for key, path in paths.items() if key == marker})

    @override
    def remove(self, uri: str) -> None:
        """Delete all objects, the manifest first. Raises ConfigError for a whole bucket."""
        address = _parse_prefix(uri)
        marker = {address.join(MANIFEST)}
        with self._client.translate_errors(uri):
            keys = self._objects(address).keys()
            self._remove(address.bucket, keys & marker)
            self._remove(address.bucket, keys - marker)

    def _find(self, uri: str) -> dict[str, SourceFile]:
        """
        Return the object at a URI and those below it by key, sorted by path, without markers of folders.

        Of an artifact, return only what its manifest lists; an interrupted push may leave more.
        """
        address = parse_address(uri)
        with self._client.translate_errors(uri):
            objects = self._objects(address)
            artifact = self._artifact_keys(address, objects)
        objects = {key: info for key, info in objects.items() if not artifact or key in artifact}
        parents = {key[: match.start()] for key in objects for match in re.finditer("/", key)}
        files = {key: info for key, info in objects.items() if info.size or not (key[-1] == "/" or key in parents)}
        if not files:
            raise DataError(f"{uri}: no object of this name and none below it")
        names = {key.removeprefix(address.join("")): key for key in files if key != address.key}
        if address.key in files:
            name = address.key.rpartition("/")[2]
            while name in names:
                name = f"/{name}"
            names[name] = address.key
        paths = sorted((path, names[name]) for name, path in assign_paths(names).items())
        return {key: SourceFile(path, files[key].size, f"etag:{files[key].version}") for path, key in paths}

    def _objects(self, address: Address) -> dict[str, ObjectInfo]:
        """Return the object at an address and those below it, by key."""
        objects, folder = self._client.list(address.bucket, address.key), address.join("")
        return {key: info for key, info in objects.items() if key == address.key or key.startswith(folder)}

    def _artifact_keys(self, address: Address, files: Container[str]) -> set[str]:
        """Return the keys of an artifact and its manifest, empty if there is none."""
        marker = address.join(MANIFEST)
        if marker not in files:
            return set()
        try:
            manifest = Manifest.model_validate_json(self._client.read(address.bucket, marker))
        except ValidationError:  # a manifest.json of another program
            return set()
        return {marker, *map(address.join, manifest.files)}

    def _download(self, bucket: str, key: str, file: SourceFile, folder: Path) -> Path:
        """Download an object unless it changed."""
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._client.translate_errors(f"s3://{bucket}/{key}"):
            self._client.get(bucket, key, target, file.version.removeprefix("etag:"))
        return target

    def _upload(self, uri: str, paths: Mapping[str, Path]) -> None:
        bucket = parse_address(uri).bucket
        map_concurrently(lambda item: self._client.put(item[1], bucket, item[0]), paths.items(), uri, self._progress)

    def _remove(self, bucket: str, keys: Iterable[str]) -> None:
        for key in sorted(keys):
            self._client.remove(bucket, key)


class S3ObjectStore(ObjectStore):
    """Objects below one s3:// URL."""

    def __init__(self, url: str, client: S3Client, upload_arguments: Mapping[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self._address = parse_address(url)
        self._client, self._upload_arguments = client, upload_arguments

    @override
    def list(self, prefix: str) -> dict[str, ObjectInfo]:
        with self._client.translate_errors(self.url):
            objects = self._client.list(self._address.bucket, self._address.join(prefix))
        return {key.removeprefix(self._address.join("")): info for key, info in objects.items()}

    @override
    def put(self, path: Path, name: str) -> None:
        with self._client.translate_errors(self.url):
            self._client.put(path, self._address.bucket, self._address.join(name), self._upload_arguments)

    @override
    def get(self, name: str, path: Path) -> Path:
        with self._client.translate_errors(self.url):
            try:
                self._client.get(self._address.bucket, self._address.join(name), path)
            except self._client.boto.exceptions.NoSuchKey:
                raise FileNotFoundError(f"{self.url}/{name}") from None
        return path

    @override
    def remove(self, name: str) -> None:
        with self._client.translate_errors(self.url):
            self._client.remove(self._address.bucket, self._address.join(name))


def _parse_prefix(uri: str) -> Address:
    """Split a URI. Raises ConfigError for a whole bucket, which others may share."""
    address = parse_address(uri)
    if not address.key:
        raise ConfigError(f"{uri}: a whole bucket; expected s3://bucket/prefix")
    return address
