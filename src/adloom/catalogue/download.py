"""Downloads: the catalogue's files, fetched once, checked, and kept below ADLOOM_HOME/downloads."""

import errno
import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from adloom.catalogue.entries import ENTRIES, Entry, Package
from adloom.catalogue.packages import Members, Place, Url
from adloom.connection_errors import describe, reach
from adloom.errors import DataError, ExternalServiceError
from adloom.storage import manifest

TIMEOUT = 10  # seconds without an answer before the next place is tried
BLOCK = 1 << 16


@dataclass(frozen=True)
class Downloads:
    """The folder of downloads."""

    folder: Path
    progress: bool
    entries: Mapping[str, Entry] = field(default_factory=lambda: ENTRIES)

    def fetch(self, name: str) -> Path:
        """
        Return the folder with an entry's files, each equal to its pin, fetching what is not there.

        Raises ExternalServiceError naming every place that was tried when none gave them.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        entry, target = self.entries[name], self.folder / name
        with FileLock(self.folder / f"{name}.lock"):
            if not _complete(entry, target):
                _write(self._files(entry, name), target)
        return target

    def _files(self, entry: Entry, name: str) -> dict[str, bytes]:
        failures: list[str] = []
        for alternative in entry.alternatives:
            members: dict[str, bytes] = {}
            try:
                for package in alternative:
                    members |= self._members(package, failures)
            except ExternalServiceError:
                continue
            return _pinned(entry, name, {**entry.shape(members), **entry.texts})
        raise ExternalServiceError(
            f"{name}: could not be fetched: {'; '.join(failures)}; check the network and run it again"
        )

    def _members(self, package: Package, failures: list[str]) -> Members:
        """Fetch a package from the first place that has it and unpack it; add to `failures` what went wrong."""
        for place in package.places:
            try:
                path = self._package(package, place)
            except (ExternalServiceError, OSError, http.client.HTTPException) as error:
                if getattr(error, "errno", None) == errno.ENOSPC:
                    raise
                failures.append(f"{place}: {describe(error)}")
                continue
            members = package.unpack(path, package.members)
            path.unlink()
            return members
        raise ExternalServiceError(package.file)

    def _package(self, package: Package, place: Place) -> Path:
        if isinstance(place, Url):
            path = self._get(place.url, package.file)
        else:
            path = place.download(self.folder, package.file)
        if (found := manifest.sha256(path)) != package.sha256:
            path.unlink()
            raise ExternalServiceError(f"wrong sha256 {found[:12]}…, expected {package.sha256[:12]}…")
        return path

    def _get(self, url: str, file: str) -> Path:
        """Download a file; what an interrupted download left is gone on from, where the server can."""
        part = self.folder / f"{file}.part"
        have = part.stat().st_size if part.exists() else 0
        reach(url, TIMEOUT)
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310 - pinned by sha256
                self._receive(response, part, have if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0)
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
        return part.rename(self.folder / file)

    def _receive(self, response: http.client.HTTPResponse, part: Path, have: int) -> None:
        total = have + int(response.headers.get("Content-Length", 0))
        with (
            part.open("r+b" if have else "wb") as stream,
            tqdm(
                total=total or None,
                initial=have,
                unit="B",
                unit_scale=True,
                desc=part.stem,
                delay=1,
                disable=not self.progress,
            ) as bar,
        ):
            stream.seek(have)
            while block := response.read(BLOCK):
                stream.write(block)
                bar.update(len(block))
        if total and part.stat().st_size < total:
            raise ExternalServiceError(f"the connection ended after {part.stat().st_size} of {total} bytes")


def _complete(entry: Entry, target: Path) -> bool:
    return all(
        (path := target / file.path).is_file()
        and path.stat().st_size == file.bytes
        and f"sha256:{manifest.sha256(path)}" == file.version
        for file in entry.files
    )


def _pinned(entry: Entry, name: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files when each is what the catalogue pins. Raises DataError naming the first that is not."""
    for file in entry.files:
        found = f"sha256:{hashlib.sha256(files[file.path]).hexdigest()}"
        if found != file.version:
            raise DataError(f"{name}/{file.path}: {found}, expected {file.version}; the package was changed")
    return files


def _write(files: dict[str, bytes], target: Path) -> None:
    """Write files as a folder that is complete or absent."""
    beside = target.with_name(f"{target.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        for name, content in files.items():
            (beside / name).write_bytes(content)
    except BaseException:
        shutil.rmtree(beside)
        raise
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)
