"""Export creatives as files with tables that `ingest` reads, and read the library as a source of that form."""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from adloom.config.sources import LIBRARY
from adloom.errors import ArtifactError, ConfigError, DataError
from adloom.library.records import ID_PREFIX, Creative, CreativeQuery, content_id, find_content_name
from adloom.storage.base import SourceFile, Store

if TYPE_CHECKING:
    from adloom.library.library import Library

CREATIVES, COPY = "creatives.csv", "copy.csv"
SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "text/plain": ".txt"}
APPROVED = CreativeQuery(state="approved")


def export(library: "Library", creatives: Sequence[Creative], folder: Path) -> None:
    """Write contents and tables of creatives into a folder. Raises DataError unless it is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: exists and is not an empty folder; name another one")
    for creative in filter(_is_picture, creatives):
        path = folder / name_file(creative)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(library.read(creative.id))
    folder.mkdir(parents=True, exist_ok=True)
    for name, render in {CREATIVES: render_creatives, COPY: render_copy}.items():
        if table := render(creatives):
            (folder / name).write_bytes(table)


def render_creatives(creatives: Iterable[Creative]) -> bytes:
    """Return the table of pictures and ads as CSV; empty without any."""
    rows = [
        (c.id, c.category or "", name_file(c), c.kind, c.placement or "", c.text or "")
        for c in creatives
        if _is_picture(c)
    ]
    return _render(("creative_id", "category", "image", "kind", "placement", "text"), rows)


def render_copy(creatives: Iterable[Creative]) -> bytes:
    """Return the table of lines as CSV; empty without any."""
    rows = [(c.id, c.text or "", c.category or "") for c in creatives if c.kind == "line"]
    return _render(("copy_id", "text", "category"), rows)


def name_file(creative: Creative) -> str:
    """Return the path of an exported picture."""
    return f"{creative.kind}s/{creative.id.removeprefix(ID_PREFIX)}{SUFFIXES[creative.media_type]}"


class LibrarySource(Store):
    """The approved pictures and ads of the library as the files of a source; read only."""

    def __init__(self, open_library: Callable[[], "Library"]) -> None:
        self._open = open_library

    @override
    def list(self, uri: str) -> list[SourceFile]:
        library = self._open()
        try:
            creatives = _find_approved(library)
            sizes = {name: info.size for name, info in library.files.list("").items()}
        finally:
            library.close()
        if not creatives:
            raise DataError(
                f"{uri}: no approved picture in {library.database.name}; `adloom library approve` adds some"
            )
        lost = next((c for c in creatives if find_content_name(c.id) not in sizes), None)
        if lost:
            raise ArtifactError(
                f"{library.files.url}/{find_content_name(lost.id)}: no such file, the content of {lost.id}"
            )
        table = render_creatives(creatives)
        files = [SourceFile(name_file(c), sizes[find_content_name(c.id)], c.id) for c in creatives]
        return sorted([SourceFile(CREATIVES, len(table), content_id(table)), *files], key=lambda file: file.path)

    @override
    def add_versions(self, uri: str, files: Sequence[SourceFile]) -> Sequence[SourceFile]:
        return files

    @override
    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        library = self._open()
        try:
            export(library, _find_approved(library), folder / LIBRARY)
        finally:
            library.close()
        return folder / LIBRARY

    @override
    def require(self, uri: str) -> None:
        raise ConfigError(f"{uri}: the creative library, which `adloom library add` fills; ./{uri} is a folder")

    @override
    def push(self, folder: Path, uri: str) -> None:
        self.require(uri)

    @override
    def remove(self, uri: str) -> None:
        self.require(uri)


def _find_approved(library: "Library") -> list[Creative]:
    """Return the approved pictures and ads in the order of their ids, so that equal sets give equal bytes."""
    found = filter(_is_picture, library.find(APPROVED, limit=None))
    return sorted(found, key=lambda creative: creative.id)


def _is_picture(creative: Creative) -> bool:
    return creative.kind != "line" and creative.media_type in SUFFIXES


def _render(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows([header, *rows] if rows else [])
    return stream.getvalue().encode()
