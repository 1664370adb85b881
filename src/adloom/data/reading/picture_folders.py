"""Reader of folders of pictures."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from adloom.config.sources import Source
from adloom.data.reading.files import BYTES_PER_CHUNK, Chunks, list_files
from adloom.errors import DataError


def read_folder(root: Path, source: Source) -> Chunks:
    """Yield the pictures below a folder; the subfolder names the category."""
    del source
    if not root.is_dir():
        raise DataError(f"{root}: expected a folder with a subfolder per category")
    rows: list[tuple[str, str | None, bytes]] = []
    size = 0
    for path in list_files(root):
        relative = path.relative_to(root)
        rows.append((relative.as_posix(), relative.parts[0] if len(relative.parts) > 1 else None, path.read_bytes()))
        size += len(rows[-1][2])
        if size > BYTES_PER_CHUNK:
            yield _pictures_to_frame(rows)
            rows, size = [], 0
    if rows:
        yield _pictures_to_frame(rows)


def _pictures_to_frame(rows: Sequence[tuple[str, str | None, bytes]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["creative_id", "category", "image"]).astype({"category": "str"})
