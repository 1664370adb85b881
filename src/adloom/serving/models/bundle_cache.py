"""
The bundle cache: artifacts by digest in a folder, and which of them were the last champions that served.

Several processes and pods may share the folder. An artifact appears whole or not at all, and every byte of it is
checked against its digest before it is used.
"""

import contextlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from adloom.config.settings import Settings
from adloom.errors import AdloomError
from adloom.storage import manifest

CHAMPIONS = "champions"  # subfolder with one file per model
PARTIAL = ".fetching-"  # prefix of folders that are being filled
IN_USE = 3600.0  # seconds since its last use in which nothing is deleted
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Champion:
    """The version of a model that served last."""

    version: int
    digest: str


@dataclass(frozen=True)
class BundleCache:
    """Artifacts in a folder, `limit` bytes of them at most beside those in use."""

    folder: Path
    limit: int = 4096 * MEBIBYTE

    def find(self, digest: str) -> Path | None:
        """Return where an artifact lies, None when it is not here or damaged; its use is noted."""
        found = self.folder / digest
        try:
            if not manifest.is_complete(found, digest):
                return None
        except OSError:  # deleted meanwhile, or it cannot be read
            return None
        with contextlib.suppress(OSError):  # the folder may be read-only, or another pod's
            os.utime(found)
        return found

    def add(self, digest: str, fetch: Callable[[Path], Path]) -> Path:
        """Return where an artifact lies after `fetch` wrote it into the empty folder it is given."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._prune(keep=digest)
        target = self.folder / digest
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=PARTIAL) as beside:
            fetched = fetch(Path(beside) / "artifact")
            try:
                fetched.rename(target)
            except OSError:  # a damaged one lies there, or another process was faster
                if not self.find(digest):
                    target.rename(Path(beside) / "damaged")
                    fetched.rename(target)
        return target

    def champion(self, key: str) -> Champion | None:
        """Return the last champion of a model, None when it is not known."""
        try:
            found = json.loads(self._note(key).read_bytes())
            return Champion(int(found["version"]), str(found["digest"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def note(self, key: str, champion: Champion) -> None:
        """Note the champion of a model. Raises OSError when the folder cannot be written."""
        if self.champion(key) == champion:
            return
        note = self._note(key)
        note.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=note.parent, prefix=".", delete=False) as beside:
            json.dump({"version": champion.version, "digest": champion.digest}, beside)
        Path(beside.name).replace(note)

    def changed(self, keys: Iterable[str]) -> int:
        """Return a number that changes whenever another champion of one of these models is noted."""
        return hash(tuple(self.champion(key) for key in keys))

    def _note(self, key: str) -> Path:
        return self.folder / CHAMPIONS / f"{key}.json"

    def _prune(self, keep: str) -> None:
        """Delete the artifacts used longest ago until the rest fits; never champions, nor what was used lately."""
        used = {path: _last_use(path) for path in self.folder.iterdir() if path.name != CHAMPIONS}
        named = {keep, *(found.digest for note in self._notes() if (found := self.champion(note)))}
        sizes = {path: _size(path) for path in used}
        total, idle = sum(sizes.values()), time.time() - IN_USE
        for path in sorted(used, key=used.__getitem__):
            if used[path] < idle and path.name not in named and (total > self.limit or path.name.startswith(PARTIAL)):
                shutil.rmtree(path, ignore_errors=True)
                total -= sizes[path]

    def _notes(self) -> list[str]:
        return [path.stem for path in (self.folder / CHAMPIONS).glob("*.json")]


def _last_use(folder: Path) -> float:
    """Return when an artifact was used last; one that another process deletes meanwhile is in use."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return math.inf


def _size(folder: Path) -> int:
    """Return the bytes of an artifact, as its manifest has them; 0 for what is none."""
    try:
        return sum(file.bytes for file in manifest.read(folder).files.values())
    except (AdloomError, OSError):
        return 0


def opened(settings: Settings) -> BundleCache:
    """Return the cache that the environment describes."""
    return BundleCache(settings.bundle_cache or settings.home / "bundles", settings.bundle_cache_mb * MEBIBYTE)
