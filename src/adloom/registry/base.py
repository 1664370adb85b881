"""The registry: versions of models, and the alias that says which one is served."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from adloom.errors import ArtifactError, UserError
from adloom.storage import manifest

CHAMPION = "champion"
CHALLENGER = "challenger"


@dataclass(frozen=True)
class ModelVersion:
    """One registered version of a model."""

    model: str  # one of params.MODELS; the registry adds the project's prefix
    version: int
    tags: Mapping[str, str]  # manifest_digest, params_digest, dataset_digest, git_commit, verdict, reasons, …
    aliases: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The digest of the registered artifact."""
        return self.tags["manifest_digest"]


Actor = Literal["gate", "person", "rollback"]  # a rollback is a person's, too: it takes the last promotion back


@dataclass(frozen=True)
class AliasEvent:
    """One move of an alias; all that ever happened are kept."""

    alias: str
    version: int
    reason: str
    by: Actor
    at: datetime  # UTC


class Registry(Protocol):
    """What stages and services need of a model registry."""

    def versions(self, model: str) -> list[ModelVersion]:
        """Return a model's versions, oldest first; empty when it was never registered."""
        ...

    def register(self, model: str, folder: Path, tags: Mapping[str, str]) -> ModelVersion:
        """Register an artifact folder; one whose digest is registered already is that version, its tags updated."""
        ...

    def set_alias(self, model: str, alias: str, version: int, reason: str, by: Actor = "gate") -> int:
        """
        Record the move of an alias, let the alias mean what its last move says, and return that.

        It is another version when someone else moved the alias at the same moment: both moves are kept, in one order.
        """
        ...

    def alias_events(self, model: str) -> list[AliasEvent]:
        """Return every move of the model's aliases, oldest first."""
        ...

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        """Bring a version's artifact into a folder and return where it lies."""
        ...


def find_alias(versions: list[ModelVersion], alias: str) -> ModelVersion | None:
    """Return the version an alias means, None when it means none."""
    return next((version for version in versions if alias in version.aliases), None)


def fetch_verified(registry: Registry, version: ModelVersion, folder: Path) -> Path:
    """Fetch a version and check every byte. Raises ArtifactError when it is not what was registered."""
    fetched = registry.fetch(version, folder)
    if not manifest.is_complete(fetched, version.digest):
        digest = f"its digest is not {version.digest}, which the registry promised"
        raise ArtifactError(f"{version.model} {version.version}: {digest}; register it again")
    return fetched


def fetch_champion(registry: Registry, model: str, folder: Path) -> tuple[ModelVersion, Path]:
    """Fetch a model's champion, whole. Raises UserError when there is none."""
    version = find_alias(registry.versions(model), CHAMPION)
    if version is None:
        raise UserError(f"{model}: no champion; `adloom run` makes one, `adloom promote` names one")
    return version, fetch_verified(registry, version, folder)
