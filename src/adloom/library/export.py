"""Export creatives as files with tables that `ingest` reads, and read the library as a source of that form."""

import csv
import io
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from typing_extensions import override

from adloom.config.sources import LIBRARY
from adloom.errors import ArtifactError, ConfigError, DataError
from adloom.library.records import ID_PREFIX, Creative, CreativeQuery, content_id, find_content_name
from adloom.storage.base import SourceFile, Store

if TYPE_CHECKING:
    from adloom.library.library import Library

TableFormat = Literal["csv", "jsonl"]
CREATIVES, COPY = "creatives", "copy"
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # OWASP, "CSV Injection"; the last four are full-width
SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "text/plain": ".txt"}
Row = Mapping[str, str | None]
APPROVED = CreativeQuery(state="approved")


def export(library: "Library", creatives: Sequence[Creative], folder: Path, table_format: TableFormat) -> None:
    """Write contents and tables of creatives into a folder. Raises DataError unless it is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: exists and is not an empty folder; name another one")
    for creative in filter(_is_picture, creatives):
        path = folder / name_file(creative)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(library.read(creative.id))
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in {CREATIVES: list_pictures(creatives), COPY: list_lines(creatives)}.items():
        if rows:
            (folder / f"{name}.{table_format}").write_bytes(RENDERERS[table_format](rows))


def list_pictures(creatives: Iterable[Creative]) -> list[Row]:
    """Return the table of pictures and ads."""
    return [
        {"creative_id": c.id, "category": c.category, "image": name_file(c), "kind": c.kind, "placement": c.placement}
        | {"text": c.text}
        for c in creatives
        if _is_picture(c)
    ]


def list_lines(creatives: Iterable[Creative]) -> list[Row]:
    """Return the table of lines."""
    return [{"copy_id": c.id, "text": c.text, "category": c.category} for c in creatives if c.kind == "line"]


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
        table = _render_jsonl(list_pictures(creatives))
        files = [SourceFile(name_file(c), sizes[find_content_name(c.id)], c.id) for c in creatives]
        return sorted(
            [SourceFile(f"{CREATIVES}.jsonl", len(table), content_id(table)), *files], key=lambda file: file.path
        )

    @override
    def add_versions(self, uri: str, files: Sequence[SourceFile]) -> Sequence[SourceFile]:
        return files

    @override
    def fetch(self, uri: str, folder: Path, paths: Collection[str] | None = None) -> Path:
        library = self._open()
        try:
            export(library, _find_approved(library), folder / LIBRARY, "jsonl")
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


def _render_csv(rows: Sequence[Row]) -> bytes:
    """Render rows for spreadsheets, in which no text is a formula."""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, rows[0], lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows({name: _defuse(value or "") for name, value in row.items()} for row in rows)
    return stream.getvalue().encode()


def _defuse(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _render_jsonl(rows: Sequence[Row]) -> bytes:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


RENDERERS: Mapping[TableFormat, Callable[[Sequence[Row]], bytes]] = {"csv": _render_csv, "jsonl": _render_jsonl}
