"""Bundle cache: artifacts by digest and the last champions, in a folder that may be shared."""

import contextlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from adloom.config.settings import Settings
from adloom.errors import AdloomError
from adloom.storage import manifest

CHAMPIONS = "champions"  # subfolder with a file per model
PARTIAL = ".fetching-"  # prefix of incomplete folders
MIN_AGE = 3600.0  # seconds since the last use before an artifact may be deleted
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Champion:
    """The version of a model that served last."""

    version: int
    digest: str


@dataclass(frozen=True)
class BundleCache:
    """A folder of artifacts, with a limit in bytes for those not in use."""

    folder: Path
    limit: int = 4096 * MEBIBYTE

    def find(self, digest: str) -> Path | None:
        """Return an artifact's folder, or None when it is absent or damaged."""
        artifact = self.folder / digest
        try:
            if not manifest.is_complete(artifact, digest):
                return None
        except OSError:  # unreadable, or deleted by another process
            return None
        with contextlib.suppress(OSError):  # the folder may be read-only or owned by another pod
            os.utime(artifact)
        return artifact

    def add(self, digest: str, fetch: Callable[[Path], Path]) -> Path:
        """Store the artifact that `fetch` writes, and return its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._prune(keep=digest)
        target = self.folder / digest
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=PARTIAL) as temporary:
            fetched = fetch(Path(temporary) / "artifact")
            try:
                fetched.rename(target)
            except OSError:  # another process was faster, or the existing copy is damaged
                if not self.find(digest):
                    target.rename(Path(temporary) / "damaged")
                    fetched.rename(target)
        return target

    def load_champion(self, key: str) -> Champion | None:
        """Return the last champion of a model, if known."""
        try:
            return parse_champion(self._champion_file(key).read_bytes())
        except OSError:
            return None

    def save_champion(self, key: str, champion: Champion) -> None:
        """Save the champion of a model. Raises OSError."""
        if self.load_champion(key) == champion:
            return
        replace_file(self._champion_file(key), json.dumps(asdict(champion)).encode())

    def forget_champion(self, key: str) -> None:
        """Delete what `save_champion` saved, if anything."""
        self._champion_file(key).unlink(missing_ok=True)

    def hash_champions(self, keys: Iterable[str]) -> int:
        """Return a hash of the champions of these models."""
        return hash(tuple(self.load_champion(key) for key in keys))

    def _champion_file(self, key: str) -> Path:
        return self.folder / CHAMPIONS / f"{key}.json"

    def _prune(self, keep: str) -> None:
        """Delete the least recently used artifacts over the limit."""
        last_use = {path: _last_use(path) for path in self.folder.iterdir() if path.name != CHAMPIONS}
        keys = [path.stem for path in (self.folder / CHAMPIONS).glob("*.json")]
        protected = {keep, *(champion.digest for key in keys if (champion := self.load_champion(key)))}
        sizes = {path: _artifact_bytes(path) for path in last_use}
        total, idle = sum(sizes.values()), time.time() - MIN_AGE
        for path in sorted(last_use, key=last_use.__getitem__):
            is_unwanted = total > self.limit or path.name.startswith(PARTIAL)
            if last_use[path] < idle and path.name not in protected and is_unwanted:
                shutil.rmtree(path, ignore_errors=True)
                total -= sizes[path]


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one step, for readers in other processes. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)


def parse_champion(content: bytes) -> Champion | None:
    """Parse the JSON of a champion; return None when it is damaged."""
    try:
        fields = json.loads(content)
        return Champion(int(fields["version"]), str(fields["digest"]))
    except (ValueError, TypeError, KeyError):
        return None


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:  # another process is deleting it
        return math.inf


def _artifact_bytes(folder: Path) -> int:
    try:
        return sum(file.bytes for file in manifest.read(folder).files.values())
    except (AdloomError, OSError):
        return 0


def open_cache(settings: Settings) -> BundleCache:
    """Return the configured bundle cache."""
    return BundleCache(settings.bundle_cache or settings.home / "bundles", settings.bundle_cache_mb * MEBIBYTE)
