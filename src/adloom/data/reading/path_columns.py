"""Columns that come from a file's path: partitions of Hive, and `$file`, `$folder` and `$path`."""

import re
import unicodedata
from pathlib import PurePosixPath

from adloom.config.sources import Source
from adloom.data.reading.data_files import strip_extensions

PARTITION = re.compile(r"([^=]+)=(.*)", re.DOTALL)
ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")  # as in a URL
MISSING_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def read_path_columns(path: str, source: Source) -> dict[str, str | None]:
    """Return the columns of a path below a source: its partitions, and the virtual columns that `columns` names."""
    folders = [*_find_own_folders(path, source), *path.split("/")[:-1]]
    partitions = {name: value for name, value in map(parse_partition, folders) if name}
    virtual = {"$file": strip_extensions(path.rpartition("/")[2]), "$folder": folders[-1] if folders else None}
    named = {name: value for name, value in {**virtual, "$path": path}.items() if name in source.columns.values()}
    return {
        **partitions,
        **{name: unicodedata.normalize("NFC", value) if value else None for name, value in named.items()},
    }


def parse_partition(folder: str) -> tuple[str | None, str | None]:
    """Return name and value of a folder `name=value`; another folder is a value without a name."""
    match = PARTITION.fullmatch(unicodedata.normalize("NFC", folder))
    if match is None:
        return None, unicodedata.normalize("NFC", folder)
    name, value = (
        ESCAPED.sub(lambda m: bytes([int(m[1], 16)]), part.encode()).decode(errors="replace") for part in match.groups()
    )
    return name, None if value == MISSING_PARTITION else value


def _find_own_folders(path: str, source: Source) -> tuple[str, ...]:
    """Return the folders of the source's URI, without the file that it may name."""
    parts = PurePosixPath(source.uri.partition("://")[2] or source.uri).parts
    return parts[:-1] if parts[-1:] == (path,) else parts


def find_category(path: str) -> str | None:
    """Return the category of a picture: the partition `category`, else its first folder, else its first partition."""
    folders = [parse_partition(folder) for folder in path.split("/")[:-1]]
    preferred = (value for name in ("category", None) for key, value in folders if key == name)
    return next(preferred, folders[0][1] if folders else None)
