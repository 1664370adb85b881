"""Readers of pictures: of folders with a subfolder per category, and of tables with paths."""

import base64
import binascii
import posixpath
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from adloom.config.sources import Source
from adloom.data.contracts import PARSE_ERROR
from adloom.data.reading.files import BYTES_PER_CHUNK, ROWS_PER_CHUNK, Chunks
from adloom.data.reading.path_columns import find_category, read_path_columns

NO_PICTURE = "image: no file of this path below the source"
INLINE = "data:image/"  # begins a picture within its table, as RFC 2397 has it
NOT_INLINE = "image: a data URI without base64; expected data:image/png;base64,…"
MAX_BYTES = 128 * 2**20  # of a picture; a larger one takes longer to decode than prepare accepts
TOO_LARGE = f"image: a file above {MAX_BYTES >> 20} MiB"


def read_folder(paths: Sequence[str], source: Source) -> Chunks:
    """Yield the paths of the pictures below a folder; the subfolder names the category."""
    for start in range(0, len(paths), ROWS_PER_CHUNK):
        rows = [
            {
                "creative_id": unicodedata.normalize("NFC", path),
                **read_path_columns(path, source),
                "category": find_category(path),
                "image": path,
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
        images: list[bytes | str | None] = []
        start = size = 0
        for number, text in enumerate(rows["image"]):
            images.append(self._read(text, folder) if isinstance(text, str) else None)
            size += len(images[-1] or b"")
            if size > BYTES_PER_CHUNK or number == len(rows) - 1:
                yield _insert_pictures(rows[start : number + 1], images)
                images, start, size = [], number + 1, 0

    def _read(self, text: str, folder: str) -> bytes | str:
        """Return a listed or inline picture, or why there is none."""
        if text.startswith(INLINE):
            return _decode_inline(text)
        name = unicodedata.normalize("NFC", text).strip()
        candidates = (posixpath.normpath(posixpath.join(base, name.replace("\\", "/"))) for base in ("", folder))
        found = next((self._paths[path] for path in (name, *candidates) if path in self._paths), None)
        if found is None:
            return NO_PICTURE
        path = self._root / found
        return path.read_bytes() if path.stat().st_size <= MAX_BYTES else TOO_LARGE


def _decode_inline(text: str) -> bytes | str:
    try:
        return base64.b64decode(text.partition(";base64,")[2], validate=True) or NOT_INLINE
    except binascii.Error:
        return NOT_INLINE


def _insert_pictures(rows: pd.DataFrame, images: Sequence[bytes | str | None]) -> pd.DataFrame:
    loaded = [None if isinstance(image, str) else image for image in images]
    rows = rows.assign(image=pd.Series(loaded, rows.index, "object"))
    reasons = pd.Series([image if isinstance(image, str) else None for image in images], rows.index, "str")
    if reasons.isna().all():
        return rows
    return rows.assign(**{PARSE_ERROR: rows[PARSE_ERROR].fillna(reasons) if PARSE_ERROR in rows else reasons})
