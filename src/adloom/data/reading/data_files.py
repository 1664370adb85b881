"""The rule that decides which files below a source are its data."""

import re
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from adloom.config.sources import Source
from adloom.errors import DataError

COMPRESSIONS = frozenset({".gz", ".gzip", ".bz2", ".xz", ".zst", ".zip"})
PICTURES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff"}
    | {".heic", ".heif", ".avif", ".svg", ".ico", ".jp2", ".jxl", ".psd"}  # not decoded, but quarantined as pictures
)
EXTENSIONS: Mapping[str, frozenset[str]] = {  # by format
    "csv": frozenset({".csv", ".tsv", ".tab", ".psv", ".txt", ".dat", ".data", ".asc", ".log"}),
    "parquet": frozenset({".parquet", ".parq", ".pq"}),
    "jsonl": frozenset({".jsonl", ".ndjson", ".json"}),
    "xlsx": frozenset({".xlsx", ".xlsm"}),
    "abc": frozenset({".abc"}),
    "folder": PICTURES,
    "idx": frozenset({".txt", ".idx3-ubyte", ".idx1-ubyte"}),
}
KNOWN_EXTENSIONS = COMPRESSIONS.union({".tar"}, *EXTENSIONS.values())
MAY_BE_EMPTY = frozenset({"csv", "jsonl"})  # formats in which a file of 0 bytes is a day without rows
TABULAR = frozenset({"csv", "parquet", "jsonl", "xlsx"})
NO_EXTENSION = re.compile(r"[._\d-]*")  # part-00000, orders.20260105

SYSTEM_NAMES = frozenset(  # files and folders of programs, which hold no rows
    {".ds_store", "__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini", "system volume information"}
    | {"@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "$recycle.bin", ".trash", ".trashes", "lost+found"}
    | {".spotlight-v100", ".fseventsd", ".git", ".gitignore", ".gitattributes", ".gitkeep", ".svn", ".hg", ".dvc"}
    | {".ipynb_checkpoints", "__pycache__", "_success", "_metadata", "_common_metadata", "_spark_metadata"}
    | {"manifest.json"}
)
SYSTEM_PATTERN = re.compile(
    r"\._.*|\..*\.crc|.*_\$folder\$|_(committed|started)_.*|\.#.*|\.~lock\..*|~\$.*|\.nfs.*", re.DOTALL
)
DOCUMENTS = frozenset({"readme", "license", "licence", "changelog", "copying", "notice", "authors"})
QUARANTINE = re.compile(r"quarantine-\d{5}\.parquet")  # in a prepared table
VERSIONED_TABLES = {"_delta_log": "Delta", ".hoodie": "Hudi", "metadata": "Iceberg"}  # by the folder of their log
COPY_MARKS = re.compile(
    r"^(copy of|kopie von) | ?\(\d+\)| ?\([^)]*conflicted copy[^)]*\)| -? ?(copy|kopie)( \d+)?(?=[. ]|$)", re.IGNORECASE
)
STAGING = frozenset({"_temporary", "+tmp"})  # folders of unfinished exports
VIRTUAL_COLUMNS = frozenset({"$file", "$folder", "$path"})  # that `columns` may name
NAMED = 5  # files that a message names


@dataclass(frozen=True)
class DataFiles:
    """The paths of a source's data files, and of what else a warning names."""

    paths: tuple[str, ...]
    left_out: tuple[str, ...] = ()  # files, and hidden folders
    dangling: tuple[str, ...] = ()  # links

    def warnings(self) -> list[str]:
        """Return a warning for files that are not read."""
        notes = {"left out as no data": self.left_out, "links that lead nowhere": self.dangling}
        return [f"{note}: {name_some(paths)}" for note, paths in notes.items() if paths]


def name_some(names: Sequence[str]) -> str:
    """Return the first names and the number of the others."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def select_data_files(sizes: Mapping[str, int], source: Source, table: str) -> DataFiles:
    """
    Choose the data files of a source from its files' sizes by path; a dangling link has a negative size.

    Raises DataError if there are none, and for a table that keeps files of older versions.
    """
    if source.format in TABULAR:
        _reject_versioned_tables(sizes, source)
    if len(sizes) == 1 and f"/{source.uri}".endswith(f"/{(name := next(iter(sizes)))}"):  # the file that the user names
        if source.format == "folder":
            raise DataError(f"{source.uri}: a file, expected a folder with a subfolder per category")
        return DataFiles((name,))
    paths = [path for path, size in sorted(sizes.items()) if not _is_of_system(path, size)]
    hidden = {path: folder for path in paths if (folder := _find_hidden(path))}
    dangling = [path for path in paths if path not in hidden and sizes[path] < 0]
    files = [path for path in paths if path not in hidden and sizes[path] >= 0]
    data = [path for path in files if _is_data(path, source, table)]
    kept = [path for path in data if sizes[path] or source.format not in MAY_BE_EMPTY] or data
    left_out = sorted({*hidden.values(), *files} - {*kept})
    if not kept:
        raise DataError(_describe_absence(source, table, left_out or dangling or sorted(sizes)))
    return DataFiles(tuple(kept), tuple(left_out), tuple(dangling))


def find_copies(contents: Mapping[str, Hashable], source: Source) -> list[str]:
    """
    Return warnings about tables with equal content, by the content of each path.

    Raises DataError for a copy that its name marks as one, such as `a (1).csv`.
    """
    if source.format not in TABULAR:
        return []
    is_named = not VIRTUAL_COLUMNS.isdisjoint(source.columns.values())  # so that the rows of a copy differ
    same_content: dict[Hashable, list[str]] = defaultdict(list)
    same_name: dict[str, list[str]] = defaultdict(list)
    contents = {path: content for path, content in contents.items() if is_of_format(path, source)}
    for path, content in contents.items():
        places = path.split("/") if is_named else [folder for folder in path.split("/")[:-1] if "=" in folder]
        same_content[content, *places].append(path)
        same_name[_remove_copy_marks(path)].append(path)
    for original, *copies in (sorted(paths, key=len) for paths in same_name.values()):
        if copy := next((path for path in copies if contents[path] == contents[original]), None):
            raise DataError(f"{source.uri}: {copy} is a copy of {original}; delete it, or its rows are read twice")
    return [
        *(f"the same content, read more than once: {name_some(p)}" for p in same_content.values() if len(p) > 1),
        *(f"named like copies, check that no row is in both: {name_some(p)}" for p in same_name.values() if len(p) > 1),
    ]


def is_picture(path: str) -> bool:
    """Return whether a file has a picture's extension."""
    return PurePosixPath(path).suffix.lower() in PICTURES


def is_of_format(path: str, source: Source) -> bool:
    """Return whether a file has an extension of the source's format, or none."""
    name = PurePosixPath(path)
    is_compressed = name.suffix.lower() in COMPRESSIONS
    suffix = (name.with_suffix("") if is_compressed else name).suffix.lower()
    if NO_EXTENSION.fullmatch(suffix) or source.format is None:
        return True
    return suffix in EXTENSIONS[source.format] or (is_compressed and suffix not in KNOWN_EXTENSIONS)


def strip_extensions(name: str) -> str:
    """Return a file's name without the extensions of its compression and its format."""
    path = PurePosixPath(name)
    while path.suffix.lower() in KNOWN_EXTENSIONS:
        path = path.with_suffix("")
    return path.name


def _reject_versioned_tables(paths: Mapping[str, int], source: Source) -> None:
    for path in paths:
        *folders, name = path.split("/")
        for folder in VERSIONED_TABLES.keys() & {*folders}:
            if folder != "metadata" or name.endswith(".metadata.json"):
                raise DataError(
                    f"{source.uri}: a {VERSIONED_TABLES[folder]} table ({path}), which keeps files of older versions; "
                    "export its current rows as plain files and name that folder"
                )


def _is_of_system(path: str, size: int) -> bool:
    """Return whether a file belongs to a program, or is an empty marker of a folder."""
    parts = [part.lower() for part in path.split("/")]
    is_marker = size == 0 and "." not in parts[-1]
    return is_marker or any(part in SYSTEM_NAMES or SYSTEM_PATTERN.fullmatch(part) for part in parts)


def _find_hidden(path: str) -> str | None:
    """Return the part of a path up to its first hidden name; a picture's name may begin with an underscore."""
    marks = "." if is_picture(path) else (".", "_")
    parts = path.split("/")
    for number, part in enumerate(parts, start=1):
        if part.startswith(marks) or part in STAGING:
            return "/".join(parts[:number]) + "/" * (number < len(parts))
    return None


def _is_data(path: str, source: Source, table: str) -> bool:
    if PurePosixPath(path).stem.lower() in DOCUMENTS or QUARANTINE.fullmatch(path):
        return False
    return is_of_format(path, source) or (table == "creatives" and is_picture(path))


def _describe_absence(source: Source, table: str, others: Sequence[str]) -> str:
    kind = "picture" if source.format == "folder" else f"{source.format} file"
    kinds = f"{kind} ({', '.join(sorted(EXTENSIONS[source.format]))})" if source.format else "file"
    return f"{source.uri}: no {kinds} for {table}, only {name_some(others)}; correct ingest.{table}.uri or format"


def _remove_copy_marks(path: str) -> str:
    """Return the path of the file that a copy, perhaps compressed, is named after."""
    is_compressed = PurePosixPath(path).suffix.lower() in COMPRESSIONS
    folder, _, name = (path.rpartition(".")[0] if is_compressed else path).rpartition("/")
    return f"{folder}/{COPY_MARKS.sub('', name)}"
