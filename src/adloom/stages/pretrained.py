"""Pretrained picture features."""

from pathlib import Path

from adloom.catalogue import entries
from adloom.context import StageContext
from adloom.errors import DataError
from adloom.storage import manifest

NAME = "efficientnet-lite0"


def fetch_pretrained(uri: str, context: StageContext) -> Path:
    """Return the file of EfficientNet-Lite0's weights. Raises DataError when its content is not the catalogue's."""
    (pinned,) = entries.ENTRIES[NAME].files
    found = context.store.fetch(uri, context.home / "pretrained", {pinned.path})
    path = found / pinned.path if found.is_dir() else found
    if not path.is_file():
        raise DataError(f"pretrained: {uri}: no file {pinned.path}; expected the file of the catalogue's {NAME}")
    if (actual := f"sha256:{manifest.sha256(path)}") != pinned.version:
        raise DataError(f"pretrained: {uri}: {actual[:19]}…, expected {pinned.version[:19]}…; set pretrained: {NAME}")
    return path
