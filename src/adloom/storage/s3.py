"""Storage in S3 below s3://bucket/prefix."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from adloom.errors import ConfigError, DataError
from adloom.storage.base import ObjectInfo, SourceFile
from adloom.storage.manifest import MANIFEST, Manifest
from adloom.storage.s3_client import Address, S3Client, S3Options, parse_address
from adloom.storage.transfers import map_concurrently


class S3Store:
    """Files by s3:// URI."""

    def __init__(self, endpoint: str | None, progress: bool, options: S3Options | None = None) -> None:
        self._client = S3Client(endpoint, options)
        self._progress = progress

    def list(self, uri: str) -> list[SourceFile]:
        """Return the object at a URI, or all objects below it. Raises DataError when there are none."""
        return list(self._find(uri).values())

    def fetch(self, uri: str, folder: Path) -> Path:
        """
        Download the object at a URI, or all objects below it, and return the file or the folder.

        Of an artifact, download only what its manifest lists; an interrupted push may have left more.
        """
        address, files = parse_address(uri), self._find(uri)
        with self._client.translate_errors(uri):
            artifact = self._artifact_keys(address, files)
            files = {key: file for key, file in files.items() if not artifact or key in artifact}
            paths = map_concurrently(
                lambda item: self._download(address.bucket, *item, folder), files.items(), uri, self._progress
            )
        return paths[0] if address.key in files else folder

    def require(self, uri: str) -> None:
        """Raise when a URI is a whole bucket, or its bucket does not exist or may not be listed."""
        address = _parse_prefix(uri)
        with self._client.translate_errors(uri):
            self._client.first_key(address.bucket, address.key)

    def push(self, folder: Path, uri: str) -> None:
        """
        Upload a folder's files below a URI, the manifest last; delete only what an older artifact's manifest lists.

        Raises ConfigError for a whole bucket.
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

    def remove(self, uri: str) -> None:
        """Delete the objects below a URI, an artifact's manifest first. Raises ConfigError for a whole bucket."""
        address = _parse_prefix(uri)
        marker = {address.join(MANIFEST)}
        with self._client.translate_errors(uri):
            keys = self._objects(address).keys()
            self._remove(address.bucket, keys & marker)
            self._remove(address.bucket, keys - marker)

    def _find(self, uri: str) -> dict[str, SourceFile]:
        """Return, by key, the objects below a URI, or else the one at it."""
        address = parse_address(uri)
        with self._client.translate_errors(uri):
            objects = self._objects(address)
        if not objects:
            raise DataError(f"{uri}: no object of this name and none below it")
        return {key: file for key, file in objects.items() if key != address.key} or objects

    def _objects(self, address: Address) -> dict[str, SourceFile]:
        """Return, by key, the object at an address and those below it."""
        objects, folder = self._client.list(address.bucket, address.key), address.join("")
        files = {}
        for key, info in objects.items():
            is_below = key.startswith(folder) and not key.endswith("/")
            if is_below or key == address.key:
                path = key.removeprefix(folder) if is_below else PurePosixPath(key).name
                files[key] = SourceFile(path, info.size, f"etag:{info.version}")
        return files

    def _artifact_keys(self, address: Address, files: Mapping[str, SourceFile]) -> set[str]:
        """Return the keys of the artifact at an address, its manifest included; none when there is no artifact."""
        marker = address.join(MANIFEST)
        if marker not in files:
            return set()
        try:
            manifest = Manifest.model_validate_json(self._client.read(address.bucket, marker))
        except ValidationError:  # a manifest.json of another program
            return set()
        return {marker, *map(address.join, manifest.files)}

    def _download(self, bucket: str, key: str, file: SourceFile, folder: Path) -> Path:
        """Download an object, provided that it is still the listed one."""
        target = folder / file.path
        if not target.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"s3://{bucket}/{key}: a key that leads out of its folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._client.get(bucket, key, target, file.version.removeprefix("etag:"))
        return target

    def _upload(self, uri: str, paths: Mapping[str, Path]) -> None:
        bucket = parse_address(uri).bucket
        map_concurrently(lambda item: self._client.put(item[1], bucket, item[0]), paths.items(), uri, self._progress)

    def _remove(self, bucket: str, keys: Iterable[str]) -> None:
        for key in sorted(keys):
            self._client.remove(bucket, key)


class S3ObjectStore:
    """Objects below one s3:// URL."""

    def __init__(self, url: str, client: S3Client, upload_arguments: Mapping[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self._address = parse_address(url)
        self._client, self._upload_arguments = client, upload_arguments

    def list(self, prefix: str) -> dict[str, ObjectInfo]:
        """Return the object of this name and those below it."""
        with self._client.translate_errors(self.url):
            objects = self._client.list(self._address.bucket, self._address.join(prefix))
        return {key.removeprefix(self._address.join("")): info for key, info in objects.items()}

    def put(self, path: Path, name: str) -> None:
        """Upload a file."""
        with self._client.translate_errors(self.url):
            self._client.put(path, self._address.bucket, self._address.join(name), self._upload_arguments)

    def get(self, name: str, path: Path) -> Path:
        """Download an object to a path. Raises FileNotFoundError when it does not exist."""
        with self._client.translate_errors(self.url):
            try:
                self._client.get(self._address.bucket, self._address.join(name), path)
            except self._client.boto.exceptions.NoSuchKey:
                raise FileNotFoundError(f"{self.url}/{name}") from None
        return path

    def remove(self, name: str) -> None:
        """Delete an object."""
        with self._client.translate_errors(self.url):
            self._client.remove(self._address.bucket, self._address.join(name))


def _parse_prefix(uri: str) -> Address:
    """Split s3://bucket/prefix. Raises ConfigError for a whole bucket, which may belong to several artifacts."""
    address = parse_address(uri)
    if not address.key:
        raise ConfigError(f"{uri}: a whole bucket; expected s3://bucket/prefix")
    return address
