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
    fetched = context.store.fetch(uri, context.home / "pretrained", {pinned.path})
    path = fetched / pinned.path if fetched.is_dir() else fetched
    if not path.is_file():
        raise DataError(f"pretrained: {uri}: no file {pinned.path}; expected the file of the catalogue's {NAME}")
    if (actual := f"sha256:{manifest.sha256(path)}") != pinned.version:
        raise DataError(f"pretrained: {uri}: {actual[:19]}…, expected {pinned.version[:19]}…; set pretrained: {NAME}")
    return path
