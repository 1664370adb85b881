"""The registry in MLflow. A version has the artifact's files and an MLmodel, which other tools can load."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from adloom.errors import ArtifactError, ExternalServiceError, LockedError
from adloom.registry.base import EXPERIMENT_CONFLICT, Actor, AliasEvent, ModelVersion, find_digest
from adloom.registry.pairing import POLICY
from adloom.storage import manifest
from adloom.tracking.mlflow_server import MlflowConnection, Provenance, ignore_existing
from adloom.tracking.parent_run import FindParent, no_parent

ARTIFACT_PATH = "model"  # of a version's files, below its run
EVENT_PREFIX = "move."  # of the registered model's tags that hold the alias events
EXPERIMENT_PREFIX = "experiment."  # of the policy's tags that hold the starts and ends of experiments
MAX_ALIAS_WRITES = 20  # while other processes write the same alias


@dataclass
class MlflowRegistry:
    """Stores versions as registered models `<project>-<model>`."""

    uri: str
    project: str
    provenance: Provenance = dict
    find_parent: FindParent = no_parent
    _server: MlflowConnection = field(init=False)

    def __post_init__(self) -> None:
        self._server = MlflowConnection(self.uri, self.project)

    def versions(self, model: str) -> list[ModelVersion]:
        """Return a model's versions, oldest first. Creates no database."""
        if self._server.database and not self._server.database.exists:
            return []
        return self._server.call(f"list versions of {model}", lambda: self._versions(model))

    def register(self, model: str, folder: Path, tags: Mapping[str, str]) -> ModelVersion:
        """
        Register an artifact once; the version comes last, with all its tags.

        Two processes may create a version each at the same time. Both keep the older one; its rival is deleted.
        """
        with self._server.translate_errors(f"register {folder}"):
            digest = manifest.digest(folder)
            version = find_digest(self._versions(model), digest)
            if version is None:
                number = self._create(model, folder, {**self.provenance(), **tags, "manifest_digest": digest})
                version = next(v for v in self._versions(model) if v.digest == digest)
                if version.version != number:
                    self._server.client.delete_model_version(self._name(model), str(number))
            elif not self._has_files(version):
                self._upload(model, folder, self._run_id(version))
            for name, value in tags.items():
                if version.tags.get(name) != value:
                    self._server.client.set_model_version_tag(self._name(model), str(version.version), name, value)
            return replace(version, tags={**version.tags, **tags})

    def delete(self, version: ModelVersion) -> None:
        """Delete a version; its run keeps the files."""
        with self._server.translate_errors(f"delete {version.model} {version.version}"):
            self._server.client.delete_model_version(self._name(version.model), str(version.version))

    def set_alias(self, model: str, alias: str, version: int, reason: str, by: Actor = "gate") -> int:
        """Record the alias event first, then set the alias."""
        with self._server.translate_errors(f"let {alias} mean {model} {version}"):
            event = AliasEvent(alias, version, reason, by, datetime.now(UTC))
            text = json.dumps({**asdict(event), "at": event.at.isoformat(timespec="seconds")}, ensure_ascii=False)
            self._server.client.get_model_version(self._name(model), str(version))
            self._server.client.set_registered_model_tag(self._name(model), self._next_tag(model, EVENT_PREFIX), text)
            return self._apply_last_event(model, alias)

    def alias_events(self, model: str) -> list[AliasEvent]:
        """Return all alias events, oldest first."""
        return self._server.call(f"read the history of {model}", lambda: _read_events(self._stored_model(model).tags))

    def experiment_events(self) -> list[str]:
        """Return the starts and ends of experiments as JSON, oldest first. Creates no database."""
        if self._server.database and not self._server.database.exists:
            return []
        return self._server.call("read the experiments", lambda: self._read_tags(POLICY, EXPERIMENT_PREFIX))

    def add_experiment_event(self, event: str, known: int | None = None) -> None:
        """
        Keep the start or end of an experiment with the policy.

        Each writer reads again after writing, so that of two at the same time at most one stays.
        """
        with self._server.translate_errors("record the experiment"):
            self._create_model(POLICY)
            tag = self._next_tag(POLICY, EXPERIMENT_PREFIX)
            self._server.client.set_registered_model_tag(self._name(POLICY), tag, event)
            if known is not None and len(self._read_tags(POLICY, EXPERIMENT_PREFIX)) > known + 1:
                self._server.client.delete_registered_model_tag(self._name(POLICY), tag)
                raise LockedError(EXPERIMENT_CONFLICT)

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        """Download an artifact without MLflow's own files and return its path."""
        with self._server.translate_errors(f"fetch {version.model} {version.version}"):
            if not self._has_files(version):
                raise ArtifactError(
                    f"{version.model} {version.version}: its files are not in MLflow at {self._server.name} any more; "
                    f"move them back, or register the artifact again"
                )
            folder.mkdir(parents=True, exist_ok=True)
            run_id = self._run_id(version)
            artifact = Path(self._server.client.download_artifacts(run_id, ARTIFACT_PATH, str(folder)))
            own_files = {*manifest.read(artifact).files, manifest.MANIFEST}
            for path in artifact.rglob("*"):
                if path.is_file() and str(path.relative_to(artifact)) not in own_files:
                    path.unlink()
            return artifact

    def _name(self, model: str) -> str:
        return f"{self.project}-{model}"

    def _stored_model(self, model: str) -> Any:
        return self._server.client.get_registered_model(self._name(model))

    def _run_id(self, version: ModelVersion) -> str:
        return str(self._server.client.get_model_version(self._name(version.model), str(version.version)).run_id)

    def _has_files(self, version: ModelVersion) -> bool:
        return bool(self._server.client.list_artifacts(self._run_id(version), ARTIFACT_PATH))

    def _versions(self, model: str) -> list[ModelVersion]:
        query = f"name = '{self._name(model)}'"
        stored = self._server.client.search_model_versions(query, order_by=["version_number ASC"])
        if not stored:
            return []
        aliases = self._stored_model(model).aliases  # alias: version
        versions = [_to_version(model, each, aliases) for each in stored if "manifest_digest" in each.tags]
        return sorted(versions, key=lambda version: version.version)

    def _next_tag(self, model: str, prefix: str) -> str:
        """Return the name of the next event's tag. A random suffix breaks ties."""
        names = [name for name in self._stored_model(model).tags if name.startswith(prefix)]
        last = max(names, default=f"{prefix}0")
        return f"{prefix}{int(last.split('.')[1]) + 1:06}.{uuid4().hex[:8]}"

    def _read_tags(self, model: str, prefix: str) -> list[str]:
        """Return the texts of all events, oldest first; none if there is no such model."""
        if not self._server.client.search_registered_models(f"name = '{self._name(model)}'"):
            return []
        tags = self._stored_model(model).tags
        return [tags[name] for name in sorted(tags) if name.startswith(prefix)]

    def _apply_last_event(self, model: str, alias: str) -> int:
        """
        Set an alias to its last event's version, and return that.

        Each writer reads again after writing, so that the last of many leaves alias and events in agreement.
        """
        for _ in range(MAX_ALIAS_WRITES):
            stored = self._stored_model(model)
            version = [event.version for event in _read_events(stored.tags) if event.alias == alias][-1]
            if int(stored.aliases.get(alias, 0)) == version:
                return version
            self._server.client.set_registered_model_alias(self._name(model), alias, str(version))
        raise ExternalServiceError(
            f"{model}: other processes moved {alias} {MAX_ALIAS_WRITES} times meanwhile; stop them, then retry"
        )

    def _create(self, model: str, folder: Path, tags: Mapping[str, str]) -> int:
        from adloom.tracking.backfill import complete_run

        client, name = self._server.client, self._name(model)
        run = complete_run(folder, self.provenance(), self._server, self.find_parent)
        self._upload(model, folder, run.info.run_id)
        self._create_model(model)
        source = f"{run.info.artifact_uri}/{ARTIFACT_PATH}"
        return int(client.create_model_version(name, source, run.info.run_id, tags=dict(tags)).version)

    def _create_model(self, model: str) -> None:
        client, name = self._server.client, self._name(model)
        if not client.search_registered_models(f"name = '{name}'"):
            with ignore_existing():
                client.create_registered_model(name)

    def _upload(self, model: str, folder: Path, run_id: str) -> None:
        from adloom.registry import mlmodel

        with tempfile.TemporaryDirectory(prefix="adloom-") as files:
            mlmodel.write(model, folder, Path(files), run_id)
            with self._server.translate_errors(f"keep the files of {folder}"):
                self._server.client.log_artifacts(run_id, files, ARTIFACT_PATH)


def _to_version(model: str, stored: Any, aliases: Mapping[str, str]) -> ModelVersion:
    names = tuple(sorted(alias for alias, number in aliases.items() if int(number) == int(stored.version)))
    return ModelVersion(model, int(stored.version), dict(stored.tags), names)


def _read_events(tags: Mapping[str, str]) -> list[AliasEvent]:
    events = [json.loads(tags[name]) for name in sorted(tags) if name.startswith(EVENT_PREFIX)]
    return [AliasEvent(**{**event, "at": datetime.fromisoformat(event["at"])}) for event in events]
