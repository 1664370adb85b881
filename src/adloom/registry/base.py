"""The model registry: versions and their aliases."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from adloom.errors import ArtifactError, UserError
from adloom.storage import manifest

CHAMPION = "champion"
CHALLENGER = "challenger"
EXPERIMENT_CONFLICT = (
    "another experiment was started or ended at the same moment; `adloom experiment status` shows the running one, "
    "without one start again"
)

Actor = Literal["gate", "person", "rollback"]  # a person's rollback takes the last promotion back


@dataclass(frozen=True)
class ModelVersion:
    """One version of a model."""

    model: str  # a name in MODELS; the registry adds the project's prefix
    version: int
    tags: Mapping[str, str]  # manifest_digest, params_digest, dataset_digest, git_commit, verdict, reasons, …
    aliases: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The digest of the registered artifact."""
        return self.tags["manifest_digest"]


@dataclass(frozen=True)
class AliasEvent:
    """One move of an alias."""

    alias: str
    version: int
    reason: str
    by: Actor
    at: datetime  # UTC


class Registry(Protocol):
    """A model registry."""

    def versions(self, model: str) -> list[ModelVersion]:
        """Return a model's versions, oldest first."""
        ...

    def register(self, model: str, folder: Path, tags: Mapping[str, str]) -> ModelVersion:
        """Register an artifact, or update the tags if it is registered."""
        ...

    def delete(self, version: ModelVersion) -> None:
        """Delete a version without aliases."""
        ...

    def set_alias(self, model: str, alias: str, version: int, reason: str, by: Actor = "gate") -> int:
        """Record an event; set the alias to the version of the last event, perhaps another's, and return it."""
        ...

    def alias_events(self, model: str) -> list[AliasEvent]:
        """Return all alias events, oldest first."""
        ...

    def experiment_events(self) -> list[str]:
        """Return the starts and ends of experiments as JSON, oldest first."""
        ...

    def add_experiment_event(self, event: str, known: int | None = None) -> None:
        """Keep the start or end of an experiment. Raises LockedError if there are more events than the `known` ones."""
        ...

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        """Download an artifact into a folder and return its path."""
        ...


def find_alias(versions: list[ModelVersion], alias: str) -> ModelVersion | None:
    """Return the version with an alias."""
    return next((version for version in versions if alias in version.aliases), None)


def find_digest(versions: list[ModelVersion], digest: str | None) -> ModelVersion | None:
    """Return the version with a digest."""
    return next((version for version in versions if version.digest == digest), None)


def fetch_verified(registry: Registry, version: ModelVersion, folder: Path) -> Path:
    """Fetch a version. Raises ArtifactError when a byte has changed."""
    fetched = registry.fetch(version, folder)
    if not manifest.is_complete(fetched, version.digest):
        problem = f"its digest is not {version.digest}, which is registered"
        raise ArtifactError(f"{version.model} {version.version}: {problem}; register it again")
    return fetched


def fetch_champion(registry: Registry, model: str, folder: Path) -> tuple[ModelVersion, Path]:
    """Fetch and check a model's champion. Raises UserError without one."""
    version = find_alias(registry.versions(model), CHAMPION)
    if version is None:
        raise UserError(f"{model}: no champion; `adloom run` makes one, `adloom promote` names one")
    return version, fetch_verified(registry, version, folder)
