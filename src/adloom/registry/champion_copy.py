"""Copy a champion into a folder for stages, which never read the registry themselves."""

import tempfile
from pathlib import Path

from adloom.config.base import ConfigModel
from adloom.config.models import MODELS
from adloom.errors import ArtifactError
from adloom.registry.base import CHAMPION, Registry, fetch_verified, find_alias, find_digest
from adloom.storage import manifest


def find_champion_digest(registry: Registry, model: str) -> str:
    """Return the digest of a model's champion, "" without one."""
    champion = find_alias(registry.versions(model), CHAMPION)
    return champion.digest if champion else ""


def copy_version(registry: Registry, model: str, digest: str, folder: Path) -> None:
    """
    Copy the version of a digest into a folder, unless it is there; write a skipped artifact for the digest "".

    Raises ArtifactError when no version has the digest, or its files are damaged.
    """
    if not digest:
        manifest.skip(folder, MODELS[model].stage, ConfigModel(), f"{model}: no champion yet")
        return
    if manifest.is_complete(folder, digest):
        return
    version = find_digest(registry.versions(model), digest)
    if version is None:
        raise ArtifactError(f"{model} {digest[:12]}: not in the registry; `adloom models` lists what is")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        fetched = fetch_verified(registry, version, Path(scratch) / "fetched")
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        fetched.rename(folder)
