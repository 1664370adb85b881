"""
Counts of what one process took and wrote, in memory that outlives it: a small file, mapped and locked while it lives.

A killed process loses what it had not written; these counts say how much that was. After a power cut they are only what
the machine had kept of them.
"""

import fcntl
import mmap
import os
from pathlib import Path
from typing import Self

_FIELDS = ("accepted", "dropped", "written", "noted", "number")
_SIZE = 8 * len(_FIELDS)  # bytes


class _Counter:
    """A count, 64 bits, at its place in the map."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._place = _FIELDS.index(name)

    def __get__(self, tally: "ProcessCounters", owner: type) -> int:
        count: int = tally.counts[self._place]
        return count

    def __set__(self, tally: "ProcessCounters", count: int) -> None:
        tally.counts[self._place] = count


class ProcessCounters:
    """The counts of one process."""

    SUFFIX = ".tally"

    accepted = _Counter()  # records taken, each of them acknowledged
    dropped = _Counter()  # records refused
    written = _Counter()  # of those accepted
    noted = _Counter()  # of those dropped, in gaps that are written
    number = _Counter()  # of the next segment

    def __init__(self, path: Path, project: str, file: int | None = None) -> None:
        self.path, self.project = path, project
        self.process = path.name.removesuffix(self.SUFFIX)
        self._use(file)

    @classmethod
    def begin(cls, folder: Path, process: str, project: str) -> Self:
        """Count what a new process does, in its own memory until `keep` finds room for the file."""
        return cls(folder / f"{process}{cls.SUFFIX}", project)

    def keep(self) -> None:
        """
        Make the file unless it is there. Raises OSError when the folder cannot be written.

        Without the file, another process would take this one's segments for those of a process that has ended.
        """
        if self._file is not None and _is_same_file(self._file, self.path):
            return
        before, old = self.counts, self._file
        self._use(self._made())
        for place, count in enumerate(before):  # counted while the file was made
            self.counts[place] = max(self.counts[place], count)
        if old is not None:
            os.close(old)

    def _made(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".beginning")
        file = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(file, bytes(self.counts) + self.project.encode())  # a map without room ends the process
            os.fsync(file)
            beside.rename(self.path)
        except OSError:
            beside.unlink(missing_ok=True)
            os.close(file)
            raise
        return file

    def _use(self, file: int | None) -> None:
        self._file = file
        self._map = mmap.mmap(-1 if file is None else file, _SIZE)
        self.counts = memoryview(self._map).cast("Q")

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """
        Return the tally of a process that is no more, None for one that lives or that somebody else adopted.

        A power cut may have taken the file or what was in it: then nothing is counted.
        """
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
    def of(cls, segment: Path) -> Path:
        """Return where the tally lies of the process that wrote a segment."""
        return segment.with_name(segment.name.partition("-")[0] + cls.SUFFIX)

    def discard(self) -> None:
        """Forget the process: all that it left is accounted for. The counts still have to be closed."""
        self.written, self.noted = self.accepted, self.dropped  # for whoever opened the file before
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the counts, for whoever recovers them."""
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
