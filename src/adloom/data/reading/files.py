"""Limits and errors of every reader of files."""

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

Chunks = Iterator[pd.DataFrame]


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Raise DataError for a file that is damaged."""
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
