"""Reader of CSV files."""

import csv
import itertools
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adloom.config.sources import Source
from adloom.data.reading.files import Chunks
from adloom.data.reading.records import Record, build_chunks
from adloom.data.reading.text_files import MAX_LINE, Line, open_text, read_lines

MAX_QUOTED_LINES = 1000  # of one record; after more of them its quote counts as never closed
SEPARATOR_LINE = re.compile(r'sep=([^"])[\r\n]*$')  # Excel's first line
STRAY_QUOTE = "line: text after a closing quote"
UNCLOSED_QUOTE = "line: a quote is never closed"


def read_csv(path: Path, source: Source) -> Chunks:
    """Yield the lines of a CSV file as text."""
    with open_text(path, source.encoding) as stream:
        lines = read_lines(stream, path)
        start = list(itertools.islice(lines, source.skip_rows + 1))
        stated = SEPARATOR_LINE.match(start[0][1]) if start else None
        lines = itertools.chain(start[max(source.skip_rows, bool(stated)) :], lines)
        separator = stated[1] if stated else source.separator
        yield from build_chunks(_split_records(lines, separator), path, source, separator)


def _split_records(lines: Iterator[Line], separator: str) -> Iterator[Record]:
    """Yield the fields of every record that has any. After a broken one, the next line begins a record."""
    csv.field_size_limit(MAX_LINE * 2)
    delimiter = None if separator == "whitespace" else separator  # of str.split
    dialect = csv.reader([], delimiter=delimiter or " ", strict=True, skipinitialspace=delimiter != " ").dialect
    pending: deque[Line] = deque()
    while line := pending.popleft() if pending else next(lines, None):
        number, text, error = line
        size = len(text)
        if error:
            fields = []
        elif delimiter is None or '"' not in text:
            fields = text.rstrip("\r\n").split(delimiter)
        else:
            fields, error, size = _split_quoted(line, pending, lines, dialect)
        if error or (any(fields) and not text.isspace()):
            yield number, fields, error, size


def _split_quoted(first: Line, pending: deque[Line], lines: Iterator[Line], dialect: Any) -> tuple[list[str], str, int]:
    """Return fields, error and size of a record with quotes. Lines that it does not need stay pending."""
    try:
        return next(csv.reader((first[1],), dialect)), "", len(first[1])
    except csv.Error as error:
        if "unexpected end" not in str(error):
            return [], STRAY_QUOTE, 0
    taken = [first]

    def feed() -> Iterator[str]:
        yield first[1]
        while len(taken) < MAX_QUOTED_LINES and (line := pending.popleft() if pending else next(lines, None)):
            taken.append(line)
            yield line[1]

    try:
        fields = next(csv.reader(feed(), dialect))
    except csv.Error:
        fields = []
    # A quote that ends a field of several lines right after a separator opens another field.
    if not fields or any(field.endswith(dialect.delimiter) and len(field.splitlines()) > 1 for field in fields):
        pending.extendleft(reversed(taken[1:]))
        return [], UNCLOSED_QUOTE, 0
    return fields, next((error for _, _, error in taken if error), ""), sum(len(text) for _, text, _ in taken)
