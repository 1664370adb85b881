"""Reader of ABC notation: files of one tune or more."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from adloom.config.sources import Source
from adloom.data.reading.files import ROWS_PER_CHUNK, Chunks
from adloom.data.reading.records import build_frame
from adloom.data.reading.text_files import Line, open_text, read_lines

FIELD = re.compile(r"[A-Za-z]:")
TITLE = re.compile(r"^T:[ \t]*(\S.*?)\s*$", re.MULTILINE)

Tune = tuple[int, str, str]  # number of its first line, notation, and why it is broken, else ""


def read_abc(path: Path, source: Source) -> Chunks:
    """Yield a row per tune, with its title and notation."""
    with open_text(path, source.encoding) as stream:
        tunes = split_tunes(read_lines(stream, path))
        while chunk := list(itertools.islice(tunes, ROWS_PER_CHUNK)):
            notations = [None if error else notation for _, notation, error in chunk]
            titles = [match[1] if (match := TITLE.search(notation or "")) else None for notation in notations]
            faults = {i: (error, f"{path.name} line {line}") for i, (line, _, error) in enumerate(chunk) if error}
            yield build_frame({"title": titles, "notation": notations}, len(chunk), faults, source)


def split_tunes(lines: Iterator[Line]) -> Iterator[Tune]:
    """
    Yield the tunes of a file.

    A tune begins with `X:` and ends with an empty line, as the standard says. Fields before the first `X:` belong to
    every tune; a file without `X:` is one tune.
    """
    header, has_number, ended = "", False, False
    tune: Tune = 1, "", ""
    for number, text, error in lines:
        if text.startswith("X:"):
            if has_number:
                yield tune
            else:
                header = "".join(line for line in tune[1].splitlines(keepends=True) if FIELD.match(line))
            tune, has_number, ended = (number, header, ""), True, False
        ended = ended or (has_number and not text.strip())
        if not ended:
            tune = tune[0], tune[1] + text, tune[2] or error
    if tune[1].strip() or tune[2]:
        yield tune
