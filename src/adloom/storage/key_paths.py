"""Paths on disk for the names of objects. S3 allows names that no disk holds, and an object beside others below it."""

import hashlib
import re
from collections.abc import Iterable

MAX_BYTES = 255  # of a file's name on Linux
STEM_BYTES = 200  # of a name that is cut
NAMELESS = frozenset({"", ".", ".."})
MARK = re.compile(r"~[0-9a-f]{32}")
STEM_AND_SUFFIXES = re.compile(r"(.+?)((?:\.\w{1,8}){0,2})", re.ASCII | re.DOTALL)


def assign_paths(names: Iterable[str]) -> dict[str, str]:
    """
    Return a path for each name. No two paths are equal, and no path is a folder of another.

    A name that is such a path stays. Another file gets `~` and a hash of the whole name: `2026//a.csv` becomes
    `2026/a~0f….csv`. Empty folders, `.` and `..` are left out; a folder that the disk cannot hold is cut and marked.
    """
    folders = {name: "".join(map(_folder, name.split("/")[:-1])) for name in names}
    used = {folder[: match.start()] for folder in {*folders.values()} for match in re.finditer("/", folder)}
    paths = {}
    for name, folder in folders.items():
        file = name.rpartition("/")[2]
        stays = f"{folder}{file}" == name and name not in used and _is_file_name(file)
        paths[name] = folder + (file if stays else _mark(file, f"file:{name}"))
    return paths


def _folder(part: str) -> str:
    """Return a folder with its slash, or nothing if it has no name."""
    if part in NAMELESS:
        return ""
    return f"{part if _is_file_name(part) else _mark(part, f'folder:{part}')}/"


def _is_file_name(part: str) -> bool:
    fits = len(part.encode()) <= MAX_BYTES and "\0" not in part
    return fits and part not in NAMELESS and not MARK.search(part)


def _mark(part: str, identity: str) -> str:
    """Return a part with a hash before its suffixes; readers choose by suffix and by a leading dot."""
    match = STEM_AND_SUFFIXES.fullmatch("" if part in NAMELESS else part)
    stem, suffixes = match.groups() if match else ("", "")
    cut = stem.replace("\0", "").encode()[:STEM_BYTES].decode(errors="ignore")
    return f"{cut}~{hashlib.sha256(identity.encode()).hexdigest()[:32]}{suffixes}"
