"""Limits and errors of every reader of files."""

import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa

from adloom.errors import DataError

ROWS_PER_CHUNK = 20_000
BYTES_PER_CHUNK = 64 * 2**20  # of undecoded pictures
DAMAGED = "truncated or damaged compression; fetch it again"

Chunks = Iterator[pd.DataFrame]


class FileFormatError(DataError):
    """A file is written in another way than the source's keys say."""


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Raise DataError for a file that is damaged."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile):
        raise DataError(f"{path}: {DAMAGED}") from None
    except OSError as error:
        if error.errno is not None:  # bz2 and Arrow have none
            raise
        raise DataError(f"{path}: {DAMAGED}") from None
    except UnicodeError as error:
        raise DataError(f"{path}: {error}; change `encoding`") from None
    except (pa.ArrowException, struct.error) as error:
        raise DataError(f"{path}: {error}") from None
