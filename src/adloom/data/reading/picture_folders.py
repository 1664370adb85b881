"""Readers of pictures: of folders with a subfolder per category, and of tables with paths."""

import posixpath
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from adloom.config.sources import Source
from adloom.data.contracts import PARSE_ERROR
from adloom.data.reading.files import BYTES_PER_CHUNK, ROWS_PER_CHUNK, Chunks, translate_errors
from adloom.data.reading.path_columns import parse_partition, read_path_columns

NO_PICTURE = "image: no file of this path below the source"


def read_folder(paths: Sequence[str], source: Source) -> Chunks:
    """Yield the paths of the pictures below a folder; the subfolder names the category."""
    for start in range(0, len(paths), ROWS_PER_CHUNK):
        rows = [
            {
                "creative_id": unicodedata.normalize("NFC", path),
                "category": parse_partition(path.split("/")[0])[1] if "/" in path else None,
                "image": path,
                **read_path_columns(path, source),
            }
            for path in paths[start : start + ROWS_PER_CHUNK]
        ]
        yield pd.DataFrame(rows).astype({"category": "str"})


class PictureLoader:
    """Loads the pictures that a source's rows name by path."""

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self._root = root
        self._paths = {unicodedata.normalize("NFC", path): path for path in paths}

    def load(self, rows: pd.DataFrame, folder: str) -> Chunks:
        """
        Yield rows with `image` as bytes in chunks of bounded size.

        Paths are relative to the source, or to the folder of the table. A row of another path is broken.
        """
        if "creative_id" not in rows:
            rows = rows.assign(creative_id=rows["image"])
        rows = rows.reset_index(drop=True)
        images: list[bytes | None] = []
        start = size = 0
        for number, path in enumerate(self._find(text, folder) for text in rows["image"]):
            images.append(self._read(path) if path else None)
            size += len(images[-1] or b"")
            if size > BYTES_PER_CHUNK or number == len(rows) - 1:
                yield _insert_pictures(rows[start : number + 1], images)
                images, start, size = [], number + 1, 0

    def _find(self, text: object, folder: str) -> str | None:
        """Return the path of a listed picture."""
        if not isinstance(text, str):
            return None
        name = unicodedata.normalize("NFC", text).strip()
        candidates = (posixpath.normpath(posixpath.join(base, name.replace("\\", "/"))) for base in ("", folder))
        return next((self._paths[path] for path in (name, *candidates) if path in self._paths), None)

    def _read(self, path: str) -> bytes:
        with translate_errors(self._root / path):
            return (self._root / path).read_bytes()


def _insert_pictures(rows: pd.DataFrame, images: Sequence[bytes | None]) -> pd.DataFrame:
    absent = pd.Series([image is None for image in images], rows.index) & rows["image"].notna()
    rows = rows.assign(image=pd.Series(list(images), rows.index, "object"))
    if not absent.any():
        return rows
    errors = rows[PARSE_ERROR] if PARSE_ERROR in rows else pd.Series(None, rows.index, "str")
    return rows.assign(**{PARSE_ERROR: errors.mask(absent & errors.isna(), NO_PICTURE)})
