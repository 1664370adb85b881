"""Readers of idx, folder, csv and parquet sources; they yield chunks of raw rows."""

import csv
import gzip
import itertools
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adloom.arrays import UInt8Array
from adloom.config.params import Source
from adloom.data import pictures
from adloom.data.contracts import CONTRACTS, PARSE_ERROR
from adloom.errors import DataError

ROWS_PER_CHUNK = 20_000
BYTES_PER_CHUNK = 64 * 2**20  # of undecoded pictures
IDX_IMAGES = re.compile(r"(?:(?P<set>.+)-)?images-idx3-ubyte(?P<gz>\.gz)?")
MANIFEST = "manifest.json"  # in a folder that is an artifact
IDX_CATEGORIES = "categories.txt"  # in the folder of idx files: the categories' names by label, one a line

Chunks = Iterator[pd.DataFrame]


def read_source(root: Path, source: Source, table: str) -> Chunks:
    """
    Yield a source's rows under the contract's column names, with its constants.

    The contract's columns come first, in its order. Raises DataError for an unreadable file, ConfigError for an unknown
    column.
    """
    contract = CONTRACTS[table]
    contract.reject_unknown([*source.columns, *source.constants], f"ingest.{table}")
    start = 0
    for chunk in READERS[str(source.format)](root, source):
        rows = _rename_columns(chunk, source.columns, f"{source.uri} (ingest.{table})").assign(**source.constants)
        contract.require_columns(rows.columns, f"{source.uri} (ingest.{table})")
        if contract.key and contract.key not in rows:
            rows[contract.key] = [f"{number:08}" for number in range(start, start + len(rows))]
        start += len(rows)
        ours = pd.Index([name for name in contract.select_columns(rows.columns) if name in rows])
        yield pd.concat([rows[ours], rows.loc[:, ~rows.columns.isin(ours)]], axis=1)
    if not start:
        raise DataError(f"{source.uri} (ingest.{table}): no rows")


def _rename_columns(chunk: pd.DataFrame, columns: Mapping[str, str], label: str) -> pd.DataFrame:
    missing = [f"{theirs!r} for {ours}" for ours, theirs in columns.items() if theirs not in chunk]
    if missing:
        present = ", ".join(str(c) for c in chunk.columns if c != PARSE_ERROR)
        raise DataError(f"{label}: no column {', '.join(missing)}; the source has {present}; change `columns`")
    renamed = chunk[list(columns.values())].set_axis(list(columns), axis=1)
    others = chunk.drop(columns=[c for c in chunk if c in columns or c in columns.values()])
    return pd.concat([renamed, others], axis=1)


def _list_files(root: Path) -> list[Path]:
    """Return the data files at a path, without hidden files and an artifact's manifest."""
    if root.is_file():
        return [root]
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.name[0] not in "._" and p != root / MANIFEST)
    if not files:
        raise DataError(f"{root}: an empty folder")
    return files


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
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


def _read_csv(root: Path, source: Source) -> Chunks:
    for path in _list_files(root):
        opener = gzip.open if path.suffix == ".gz" else open
        with _translate_errors(path), opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
            records = _split_records(stream, source.separator)
            header = next(records, None)
            if not header:
                raise DataError(f"{path}: empty; expected a first line with the columns' names")
            while lines := list(itertools.islice(records, ROWS_PER_CHUNK)):
                yield _lines_to_frame(header, lines)


def _split_records(stream: IO[str], separator: str) -> Iterator[list[str]]:
    if separator == "whitespace":
        return (line.split() for line in stream if line.strip())
    return (record for record in csv.reader(stream, delimiter=separator, strict=True) if record)


def _lines_to_frame(header: Sequence[str], lines: Sequence[list[str]]) -> pd.DataFrame:
    """Return lines as text; a line of another width keeps only that error."""
    width = len(header)
    fields = [line if len(line) == width else [""] * width for line in lines]
    frame = pd.DataFrame(fields, columns=list(header), dtype="str").replace("", None)
    errors = [None if len(line) == width else f"line: {len(line)} fields, expected {width}" for line in lines]
    return frame.assign(**{PARSE_ERROR: pd.Series(errors, dtype="str")}) if any(errors) else frame


def _read_parquet(root: Path, source: Source) -> Chunks:
    del source
    for path in _list_files(root):
        with _translate_errors(path):
            for batch in pq.ParquetFile(path).iter_batches(ROWS_PER_CHUNK):
                yield batch.to_pandas(types_mapper=pd.ArrowDtype)  # integers stay integers next to missing values


def _read_folder(root: Path, source: Source) -> Chunks:
    del source
    if not root.is_dir():
        raise DataError(f"{root}: expected a folder with a subfolder per category")
    rows: list[tuple[str, str | None, bytes]] = []
    size = 0
    for path in _list_files(root):
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


def _read_idx(root: Path, source: Source) -> Chunks:
    del source
    names = {path.name: path for path in _list_files(root)}
    sets = [match for name in sorted(names) if (match := IDX_IMAGES.fullmatch(name))]
    if not sets:
        raise DataError(f"{root}: no file called …images-idx3-ubyte, only {', '.join(sorted(names))}")
    names_file = root / IDX_CATEGORIES
    categories = names_file.read_text(encoding="utf-8").splitlines() if names_file.is_file() else None
    for match in sets:
        labels = match.group().replace("images-idx3", "labels-idx1")
        if labels not in names:
            raise DataError(f"{root}: {match.group()} has no {labels} in its folder")
        yield from _read_idx_set(names[match.group()], names[labels], match["set"] or "", categories)


def _read_idx_set(images_path: Path, labels_path: Path, prefix: str, categories: Sequence[str] | None) -> Chunks:
    images, labels = _read_idx_array(images_path, 3), _read_idx_array(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(f"{images_path}: {len(images)} pictures but {len(labels)} labels in {labels_path.name}")
    if categories is not None and labels.max(initial=0) >= len(categories):
        raise DataError(f"{labels_path}: label {labels.max()}, but {IDX_CATEGORIES} names {len(categories)}")
    for start in range(0, len(images), ROWS_PER_CHUNK):
        picture, label = images[start : start + ROWS_PER_CHUNK], labels[start : start + ROWS_PER_CHUNK]
        ids = [f"{prefix}-{number:06}".lstrip("-") for number in range(start, start + len(picture))]
        names = [categories[index] if categories else str(index) for index in label]
        encoded = [pictures.encode_png(pixels[:, :, None]) for pixels in picture]
        yield pd.DataFrame({"creative_id": ids, "category": names, "image": encoded})


def _read_idx_array(path: Path, dimensions: int) -> UInt8Array:
    """Read unsigned bytes: magic 0x0000080d with d dimensions, then their sizes as big-endian uint32."""
    with _translate_errors(path):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        magic, *shape = struct.unpack_from(f">I{dimensions}I", data)
    if magic != 0x0800 + dimensions:
        raise DataError(f"{path}: not an idx file of unsigned bytes in {dimensions} dimensions (magic {magic:#x})")
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions)
    if values.size != np.prod(shape):
        raise DataError(f"{path}: truncated: {values.size} bytes, expected {np.prod(shape)} for {shape}")
    return values.reshape(shape)


READERS: Mapping[str, Callable[[Path, Source], Chunks]] = {
    "csv": _read_csv,
    "parquet": _read_parquet,
    "folder": _read_folder,
    "idx": _read_idx,
}
