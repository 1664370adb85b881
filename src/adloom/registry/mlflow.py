"""The registry in MLflow. A version's files are the artifact's own and an MLmodel that other tools can load."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from adloom.deadline import call_within
from adloom.errors import ExternalServiceError
from adloom.registry.base import Actor, AliasEvent, ModelVersion
from adloom.storage import manifest
from adloom.tracking.mlflow_server import FindParent, MlflowConnection, Provenance, ignore_existing, no_parent

ARTIFACT_PATH = "model"  # folder of a version's files below its run
EVENT_PREFIX = "move."  # prefix of the registered model's tags that hold the moves of its aliases
READ_SECONDS = 60.0  # seconds for all answers that a look at the registry needs
MAX_ALIAS_WRITES = 20  # writers of one alias that may come in between before it is given up

T = TypeVar("T")


@dataclass
class MlflowRegistry:
    """Keeps versions as registered models `<project>-<model>`."""

    uri: str
    project: str
    provenance: Provenance = dict
    parent: FindParent = no_parent
    _server: MlflowConnection = field(init=False)

    def __post_init__(self) -> None:
        self._server = MlflowConnection(self.uri, self.project)

    def versions(self, model: str) -> list[ModelVersion]:
        """Return a model's versions, oldest first; empty when it was never registered. Makes no database."""
        if self._server.database and not self._server.database.is_file():
            return []
        return self._read(f"list versions of {model}", lambda: self._versions(model))

    def register(self, model: str, folder: Path, tags: Mapping[str, str]) -> ModelVersion:
        """
        Register an artifact folder once; the version is made last, with all its tags at once.

        Of two who register the same at the same moment each makes a version, then looks: the first stays, and whoever
        made the other removes it. Both find the first, for it was there before the other.
        """
        with self._server.translate_errors(f"register {folder}"):
            digest = manifest.digest(folder)
            known = self._known(model, digest)
            if known is None:
                made = self._create(model, folder, {**self.provenance(), **tags, "manifest_digest": digest})
                known = next(v for v in self._versions(model) if v.digest == digest)
                if known.version != made:
                    self._server.client.delete_model_version(self._name(model), str(made))
            for name, value in tags.items():
                if known.tags.get(name) != value:
                    self._server.client.set_model_version_tag(self._name(model), str(known.version), name, value)
            return replace(known, tags={**known.tags, **tags})

    def set_alias(self, model: str, alias: str, version: int, reason: str, by: Actor = "gate") -> int:
        """Move an alias: first the note of the move, then the alias itself."""
        with self._server.translate_errors(f"let {alias} mean {model} {version}"):
            move = AliasEvent(alias, version, reason, by, datetime.now(UTC))
            self._server.client.get_model_version(self._name(model), str(version))
            self._server.client.set_registered_model_tag(self._name(model), self._next(model), _to_json(move))
            return self._settle(model, alias)

    def alias_events(self, model: str) -> list[AliasEvent]:
        """Return every move of the model's aliases, oldest first."""
        return self._read(f"read the history of {model}", lambda: self._moves(model))

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        """Bring a version's artifact into a folder and return where it lies, without what was laid beside it."""
        with self._server.translate_errors(f"fetch {version.model} {version.version}"):
            folder.mkdir(parents=True, exist_ok=True)
            stored = self._server.client.get_model_version(self._name(version.model), str(version.version))
            fetched = Path(self._server.client.download_artifacts(stored.run_id, ARTIFACT_PATH, str(folder)))
            listed = {*manifest.read(fetched).files, manifest.MANIFEST}
            for path in fetched.rglob("*"):
                if path.is_file() and str(path.relative_to(fetched)) not in listed:
                    path.unlink()
            return fetched

    def _read(self, what: str, read: Callable[[], T]) -> T:
        """Return what MLflow answers within READING seconds; its own timeout starts anew with each byte."""
        with self._server.translate_errors(what):
            return call_within(READ_SECONDS, f"MLflow at {self._server.name}: {what}", read)

    def _name(self, model: str) -> str:
        return f"{self.project}-{model}"

    def _versions(self, model: str) -> list[ModelVersion]:
        name = self._name(model)
        found = self._server.client.search_model_versions(f"name = '{name}'", order_by=["version_number ASC"])
        if not found:
            return []
        aliases = self._server.client.get_registered_model(name).aliases  # alias: version
        ours = [stored for stored in found if "manifest_digest" in stored.tags]
        return sorted((_version(model, stored, aliases) for stored in ours), key=lambda version: version.version)

    def _moves(self, model: str) -> list[AliasEvent]:
        return _in_order(self._server.client.get_registered_model(self._name(model)).tags)

    def _next(self, model: str) -> str:
        """Return the name of the next move's tag, which nobody else takes: of equal numbers chance says the order."""
        tags = self._server.client.get_registered_model(self._name(model)).tags
        last = max((name for name in tags if name.startswith(EVENT_PREFIX)), default=f"{EVENT_PREFIX}0")
        return f"{EVENT_PREFIX}{int(last.split('.')[1]) + 1:06}.{uuid4().hex[:8]}"

    def _settle(self, model: str, alias: str) -> int:
        """
        Let an alias mean what its last move says, and return that.

        Whoever writes, a move or the alias, looks afterwards, and writes the alias again when it differs. So whoever
        of many writes last finds all that was written, and leaves with alias and moves agreeing.
        """
        for _ in range(MAX_ALIAS_WRITES):
            stored = self._server.client.get_registered_model(self._name(model))
            wanted = [move.version for move in _in_order(stored.tags) if move.alias == alias][-1]
            if int(stored.aliases.get(alias, 0)) == wanted:
                return wanted
            self._server.client.set_registered_model_alias(self._name(model), alias, str(wanted))
        raise ExternalServiceError(
            f"{model}: others moved {alias} {MAX_ALIAS_WRITES} times meanwhile; stop them, and do it again"
        )

    def _known(self, model: str, digest: str) -> ModelVersion | None:
        return next((version for version in self._versions(model) if version.digest == digest), None)

    def _create(self, model: str, folder: Path, tags: Mapping[str, str]) -> int:
        from adloom.registry import mlmodel
        from adloom.tracking.backfill import complete_run

        client, name = self._server.client, self._name(model)
        run = complete_run(folder, self.provenance(), self._server, self.parent)
        with tempfile.TemporaryDirectory(prefix="adloom-") as place:
            mlmodel.write(folder, Path(place), run.info.run_id)
            with self._server.translate_errors(f"keep the files of {folder}"):
                client.log_artifacts(run.info.run_id, place, ARTIFACT_PATH)
        if not client.search_registered_models(f"name = '{name}'"):
            with ignore_existing():
                client.create_registered_model(name)
        source = f"{run.info.artifact_uri}/{ARTIFACT_PATH}"
        return int(client.create_model_version(name, source, run.info.run_id, tags=dict(tags)).version)


def _version(model: str, stored: Any, aliases: Mapping[str, str]) -> ModelVersion:
    names = tuple(sorted(alias for alias, number in aliases.items() if int(number) == int(stored.version)))
    return ModelVersion(model, int(stored.version), dict(stored.tags), names)


def _in_order(tags: Mapping[str, str]) -> list[AliasEvent]:
    return [_move(tags[name]) for name in sorted(tags) if name.startswith(EVENT_PREFIX)]


def _to_json(move: AliasEvent) -> str:
    return json.dumps({**asdict(move), "at": move.at.isoformat(timespec="seconds")}, ensure_ascii=False)


def _move(text: str) -> AliasEvent:
    fields = json.loads(text)
    return AliasEvent(**{**fields, "at": datetime.fromisoformat(fields["at"])})
