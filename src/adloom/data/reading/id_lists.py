"""Reader of files of user ids, such as the erasure list."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from adloom.data.privacy import normalise_user_id
from adloom.data.reading.files import translate_errors
from adloom.data.reading.text_files import BYTE_ORDER_MARKS, guess_utf16, open_content
from adloom.errors import DataError

SEPARATORS = "\t;,|"
ID_HEADER = re.compile(
    r"(user|customer|client|member|account|kunden?|nutzer|uid|id|e-?mail)"
    r"([ _-]?(id|ids|key|nr|no|number|nummer|name|e-?mail|address))?",
    re.IGNORECASE,
)


def read_ids(path: Path) -> frozenset[str]:
    """
    Return the normalised ids of a text file: one a line, all in one line, or the id column of a CSV file or its first.

    The file may be compressed, and UTF-8, UTF-16, UTF-32 or else Windows-1252. Raises DataError for other files.
    """
    if not path.is_file():
        raise DataError(f"{path}: a folder; expected a text file with one user id per line")
    records = _split_columns([line for line in _decode(path).splitlines() if line.strip()])
    header = _find_headers(records[0]) if records else []
    column = header.index(True) if any(header) else 0
    ids = [record[column] for record in records[any(header) :] if len(record) > column]
    return frozenset(map(normalise_user_id, records[0] if len(records) == 1 else ids)) - {""}


def _decode(path: Path) -> str:
    with translate_errors(path), open_content(path) as stream:
        content = stream.read()
    mark = next((encoding for mark, encoding in BYTE_ORDER_MARKS.items() if content.startswith(mark)), None)
    try:
        text = content.decode(mark or guess_utf16(content) or "utf-8")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    if "\0" in text:
        raise DataError(f"{path}: not a text file; expected one user id per line")
    return text


def _find_headers(names: Sequence[str]) -> list[bool]:
    return [ID_HEADER.fullmatch(name.strip()) is not None for name in names]


def _split_columns(lines: list[str]) -> list[list[str]]:
    """Split lines by the separator that a header or every line has, if any, and remove quotes."""
    for separator in SEPARATORS:
        if lines and separator in lines[0]:
            records = _split(lines, separator)
            if any(_find_headers(records[0])) or len({len(record) for record in records}) == 1:
                return records
    return _split(lines, "\x1f")


def _split(lines: list[str], separator: str) -> list[list[str]]:
    return [next(csv.reader([line], delimiter=separator)) for line in lines]
