"""Pretrained features of pictures and sentences."""

from pathlib import Path

from adloom.catalogue import entries
from adloom.context import StageContext
from adloom.errors import DataError, ExternalServiceError
from adloom.storage import manifest
from adloom.storage.base import SourceFile

NAME = "efficientnet-lite0"
ENCODER = "all-minilm-l6-v2"


def fetch_pretrained(uri: str, context: StageContext) -> Path:
    """Return the file of EfficientNet-Lite0's weights. Raises DataError when its content is not the catalogue's."""
    (pinned,) = entries.ENTRIES[NAME].files
    fetched = context.store.fetch(uri, context.home / "pretrained", {pinned.path})
    path = fetched / pinned.path if fetched.is_dir() else fetched
    _verify(path, pinned, f"pretrained: {uri}", f"pretrained: {NAME}")
    return path


def fetch_encoder(uri: str, context: StageContext) -> Path:
    """Return the folder of all-MiniLM-L6-v2's files. Raises DataError when their contents are not the catalogue's."""
    files = entries.ENTRIES[ENCODER].files
    try:
        folder = context.store.fetch(uri, context.home / "text_encoder", {file.path for file in files})
    except ExternalServiceError as error:
        raise type(error)(
            f"text_encoder: {error}; or set train_policy.text_encoder to a copy of its files, or to null to score "
            "texts by their words"
        ) from error
    for pinned in files:
        _verify(folder / pinned.path, pinned, f"text_encoder: {uri}", f"train_policy.text_encoder: {ENCODER}")
    return folder


def _verify(path: Path, pinned: SourceFile, what: str, key: str) -> None:
    if not path.is_file():
        raise DataError(f"{what}: no file {pinned.path}; expected the catalogue's; set {key}")
    if (actual := f"sha256:{manifest.sha256(path)}") != pinned.version:
        raise DataError(f"{what}: {path.name}: {actual[:19]}…, expected {pinned.version[:19]}…; set {key}")
