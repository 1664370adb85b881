"""A registry in memory, for tests."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from adloom.errors import ExternalServiceError, LockedError
from adloom.registry.base import EXPERIMENT_CONFLICT, Actor, AliasEvent, ModelVersion
from adloom.storage import manifest


@dataclass
class MemoryRegistry:
    """A registry in memory, with its artifacts in a folder; safe for threads."""

    folder: Path
    known: dict[str, list[ModelVersion]] = field(default_factory=dict)
    history: dict[str, list[AliasEvent]] = field(default_factory=dict)
    experiments: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock, repr=False)

    def versions(self, model: str) -> list[ModelVersion]:
        """Return a model's versions, oldest first."""
        return list(self.known.get(model, []))

    def register(self, model: str, folder: Path, tags: Mapping[str, str]) -> ModelVersion:
        """Register an artifact folder once."""
        digest = manifest.digest(folder)
        with self.lock:
            versions = self.known.setdefault(model, [])
            for i, version in enumerate(versions):
                if version.digest == digest:
                    versions[i] = replace(version, tags={**version.tags, **tags})
                    return versions[i]
            shutil.copytree(folder, self.folder / digest, dirs_exist_ok=True)
            versions.append(ModelVersion(model, len(versions) + 1, {**tags, "manifest_digest": digest}))
            return versions[-1]

    def delete(self, version: ModelVersion) -> None:
        """Delete a version."""
        with self.lock:
            self.known[version.model] = [v for v in self.known[version.model] if v.version != version.version]

    def set_alias(self, model: str, alias: str, version: int, reason: str, by: Actor = "gate") -> int:
        """Set an alias."""
        with self.lock:
            versions = self.versions(model)
            if not any(v.version == version for v in versions):
                raise ExternalServiceError(f"{model}: no version {version}; known: {[v.version for v in versions]}")
            self.history.setdefault(model, []).append(AliasEvent(alias, version, reason, by, datetime.now(UTC)))
            self.known[model] = [_with_alias(v, alias, version) for v in versions]
            return version

    def alias_events(self, model: str) -> list[AliasEvent]:
        """Return all alias events."""
        return list(self.history.get(model, []))

    def experiment_events(self) -> list[str]:
        """Return the starts and ends of experiments."""
        return list(self.experiments)

    def add_experiment_event(self, event: str, known: int | None = None) -> None:
        """Keep the start or end of an experiment. Raises LockedError if there are more events than the `known` ones."""
        with self.lock:
            if known is not None and len(self.experiments) > known:
                raise LockedError(EXPERIMENT_CONFLICT)
            self.experiments.append(event)

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        """Copy a version's artifact."""
        return Path(shutil.copytree(self.folder / version.digest, folder, dirs_exist_ok=True))


def _with_alias(version: ModelVersion, alias: str, target: int) -> ModelVersion:
    others = tuple(name for name in version.aliases if name != alias)
    return replace(version, aliases=(*others, alias) if version.version == target else others)
