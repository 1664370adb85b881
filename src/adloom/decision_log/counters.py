"""
Counters of one process in a memory-mapped file, which show after a kill how many records were lost.

The file is locked while the process lives.
"""

import fcntl
import mmap
import os
from pathlib import Path
from typing import Self

_FIELDS = ("accepted", "dropped", "written", "reported", "number")
_SIZE = 8 * len(_FIELDS)  # bytes


class _Counter:
    """A 64-bit counter at its index of the map."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._index = _FIELDS.index(name)

    def __get__(self, counters: "ProcessCounters", owner: type) -> int:
        count: int = counters.counts[self._index]
        return count

    def __set__(self, counters: "ProcessCounters", count: int) -> None:
        counters.counts[self._index] = count


class ProcessCounters:
    """The counters of one process."""

    SUFFIX = ".tally"

    accepted = _Counter()  # records
    dropped = _Counter()  # records
    written = _Counter()  # of the accepted records
    reported = _Counter()  # of the dropped records, recorded in gaps
    number = _Counter()  # of the next segment

    def __init__(self, path: Path, project: str, file: int | None = None) -> None:
        self.path, self.project = path, project
        self.process = path.name.removesuffix(self.SUFFIX)
        self._map_file(file)

    @classmethod
    def create(cls, folder: Path, process: str, project: str) -> Self:
        """Return a new process's counters, in memory until `persist`."""
        return cls(folder / f"{process}{cls.SUFFIX}", project)

    def persist(self) -> None:
        """Create the file if necessary. Raises OSError."""
        if self._file is not None and _is_same_file(self._file, self.path):
            return
        counts, old = self.counts, self._file
        self._map_file(self._create_file())
        for index, count in enumerate(counts):  # counted while the file was created
            self.counts[index] = max(self.counts[index], count)
        if old is not None:
            os.close(old)

    def _create_file(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".beginning")
        file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(
                file, bytes(self.counts) + self.project.encode()
            )  # without disk space the map would kill the process
            os.fsync(file)
            temporary.rename(self.path)
        except OSError:
            temporary.unlink(missing_ok=True)
            os.close(file)
            raise
        return file

    def _map_file(self, file: int | None) -> None:
        self._file = file
        self._map = mmap.mmap(-1 if file is None else file, _SIZE)
        self.counts = memoryview(self._map).cast("Q")

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """Return a dead process's counters; None if it lives or was adopted."""
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        if os.fstat(file).st_size < _SIZE:
            os.pwrite(file, bytes(_SIZE), 0)
        return cls(path, os.pread(file, os.fstat(file).st_size, _SIZE).decode(), file)

    @classmethod
    def path_for(cls, segment: Path) -> Path:
        """Return the path of the counters of a segment's process."""
        return segment.with_name(segment.name.partition("-")[0] + cls.SUFFIX)

    def discard(self) -> None:
        """Delete the file after recording all losses."""
        self.written, self.reported = self.accepted, self.dropped  # for processes that have the file open
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the counters and their lock."""
        self.counts.release()
        self._map.close()
        if self._file is not None:
            os.close(self._file)


def _is_same_file(file: int, path: Path) -> bool:
    """Return whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
