"""The pictures that were issued: fingerprints and origins, in a SQLite file that processes share."""

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import TypeAdapter

from adloom.credentials.containers import digest_pixels
from adloom.credentials.origin import Origin
from adloom.credentials.perceptual_index import WIDTH, PerceptualIndex, compute_fingerprints, decode_picture
from adloom.library.records import content_id

MAX_ISSUED = 200_000  # pictures; the oldest are forgotten
MAX_IN_MEMORY = MAX_ISSUED + MAX_ISSUED // 10
BUSY_SECONDS = 5.0  # for another process that writes
TABLE = """
    CREATE TABLE IF NOT EXISTS pictures (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        pixels TEXT NOT NULL,
        fingerprints BLOB NOT NULL,
        origin TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS pictures_by_pixels ON pictures (pixels);
    CREATE INDEX IF NOT EXISTS pictures_by_id ON pictures (id);
"""
INSERT = "INSERT INTO pictures (id, pixels, fingerprints, origin) VALUES (?, ?, ?, ?)"

_origin = TypeAdapter(Origin)


class IssuedMatch(NamedTuple):
    """An issued picture that a query shows."""

    id: str
    kind: str  # pixels (the same), whole or cropped
    certainty: float
    origin: Origin


class IssuedPictures:
    """The index of issued pictures; threads may share it."""

    def __init__(self, file: Path | None = None) -> None:
        """Open or create the file; without one, the index ends with the process. Raises sqlite3.Error and OSError."""
        self._lock = threading.Lock()
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(file or ":memory:", timeout=BUSY_SECONDS, check_same_thread=False)
        self._database.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {TABLE}")
        self._index, self._last = PerceptualIndex(), 0

    def add(self, pictures: Sequence[bytes], origins: Sequence[Origin]) -> None:
        """Add the signed pictures of one request. Raises sqlite3.Error."""
        rows = [
            (
                content_id(picture),
                digest_pixels(picture),
                compute_fingerprints(decode_picture(picture)).tobytes(),
                _origin.dump_json(origin).decode(),
            )
            for picture, origin in zip(pictures, origins, strict=True)
        ]
        with self._lock, self._database as transaction:
            transaction.executemany(INSERT, rows)
            transaction.execute(
                "DELETE FROM pictures WHERE number <= (SELECT max(number) FROM pictures) - ?", (MAX_ISSUED,)
            )

    def search(self, picture: bytes) -> IssuedMatch | None:
        """Return the issued picture that a file shows, or None. Raises PictureError and sqlite3.Error."""
        pixels, digest = decode_picture(picture), digest_pixels(picture)
        with self._lock:
            same = "SELECT id, origin FROM pictures WHERE pixels = ? ORDER BY number DESC LIMIT 1"
            if row := self._database.execute(same, (digest,)).fetchone():
                return IssuedMatch(row[0], "pixels", 1.0, _origin.validate_json(row[1]))
            self._read_new()
            match = self._index.search(pixels)
            if match is None:
                return None
            row = self._database.execute("SELECT origin FROM pictures WHERE id = ?", (match.id,)).fetchone()
        if row is None:  # forgotten
            return None
        return IssuedMatch(match.id, match.kind, match.certainty, _origin.validate_json(row[0]))

    def _read_new(self) -> None:
        """Read what was added since the last search, also by other processes; read all when many are forgotten."""
        if len(self._index) > MAX_IN_MEMORY:
            self._index, self._last = PerceptualIndex(), 0
        rows = self._database.execute(
            "SELECT number, id, fingerprints FROM pictures WHERE number > ? ORDER BY number", (self._last,)
        ).fetchall()
        if rows:
            content = np.frombuffer(b"".join(row[2] for row in rows), np.float16)
            self._index.add([row[1] for row in rows], content.reshape(-1, 2, WIDTH))
            self._last = rows[-1][0]
