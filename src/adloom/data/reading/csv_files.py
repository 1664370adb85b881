"""Reader of CSV files."""

import csv
import gzip
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pandas as pd

from adloom.config.sources import Source
from adloom.data.contracts import PARSE_ERROR
from adloom.data.reading.files import ROWS_PER_CHUNK, Chunks, translate_errors
from adloom.errors import DataError


def read_csv(path: Path, source: Source) -> Chunks:
    """Yield the lines of a CSV file as text."""
    opener = gzip.open if path.suffix == ".gz" else open
    with translate_errors(path), opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
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
