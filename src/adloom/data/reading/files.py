"""The files of a source, and what every reader of them needs."""

import csv
import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa

from adloom.errors import DataError

ROWS_PER_CHUNK = 20_000
BYTES_PER_CHUNK = 64 * 2**20  # of undecoded pictures
MANIFEST = "manifest.json"  # in a folder that is an artifact

Chunks = Iterator[pd.DataFrame]


def list_files(root: Path) -> list[Path]:
    """Return the data files at a path, without hidden files and an artifact's manifest."""
    if root.is_file():
        return [root]
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.name[0] not in "._" and p != root / MANIFEST)
    if not files:
        raise DataError(f"{root}: an empty folder")
    return files


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Raise DataError for a damaged file."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DataError(f"{path}: truncated or damaged gzip; fetch it again") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 (byte 0x{error.object[error.start]:02x}); `iconv -f LATIN1 -t UTF-8` converts it"
        ) from None
    except (csv.Error, pa.ArrowException, struct.error) as error:
        raise DataError(f"{path}: {error}") from None
