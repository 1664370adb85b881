"""Creatives for tests of the library."""

from pathlib import Path
from typing import Any

from adloom.library.library import Library
from adloom.library.records import Creative, content_id
from adloom.storage.local import FolderObjectStore


def make_creative(content: bytes, kind: str = "line", **fields: Any) -> Creative:
    media_type = "text/plain" if kind == "line" else "image/png"
    return Creative.model_validate({"id": content_id(content), "kind": kind, "media_type": media_type} | fields)


def open_folder(folder: Path) -> Library:
    return Library(f"sqlite:///{folder / 'library.db'}", FolderObjectStore(str(folder / "library")))
