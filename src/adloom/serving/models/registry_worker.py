"""Fetch champions in a process of its own, because MLflow's client is large and may hang."""

import contextlib
import json
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from adloom.deadline import call_within, is_call_running
from adloom.errors import AdloomError, ExternalServiceError, UserError
from adloom.registry.base import Registry
from adloom.serving.models import bundle_cache, helper_process, sources
from adloom.serving.models.bundle_cache import BundleCache
from adloom.serving.models.challengers import fetch_challengers
from adloom.serving.models.experiment import fetch_experiment
from adloom.serving.models.helper_process import HelperProcess
from adloom.serving.models.sources import TIMEOUTS, ModelArtifact, Sources, UnavailableModel

START_TIMEOUT = 60.0  # seconds to import MLflow's client
SLACK = 10.0  # seconds added to the timeouts of the registry

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChampionQuery:
    """The champions to fetch."""

    params: str  # path of params.yaml, which names the project
    models: list[str]
    pins: Mapping[str, int]
    challengers: list[str] = field(default_factory=list)  # models of which the challenger is fetched too

    def to_json(self) -> str:
        """Return the text that `parse` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of `to_json`."""
        return cls(**json.loads(text))


class RegistryWorker:
    """The process that fetches champions."""

    def __init__(self, query: ChampionQuery) -> None:
        self.started = threading.Event()  # the process runs and queries the registry
        self._helper = HelperProcess("adloom.serving.models.registry_worker", query.to_json())

    def __call__(self) -> Sources:
        """Fetch the champions. Raises AdloomError."""
        try:
            self._helper.request("start", START_TIMEOUT)
            self.started.set()
            answer = self._helper.request("fetch", 2 * (TIMEOUTS.versions + TIMEOUTS.files) + SLACK)
        except ExternalServiceError as error:
            raise ExternalServiceError(f"fetching champions: {error}; it is started again") from None
        if reason := answer.get("error"):
            raise (UserError if answer["is_user_error"] else AdloomError)(reason)
        if answer["hangs"]:
            self._helper.stop()  # ends the calls that hang in it
        return {model: _parse_source(source) for model, source in answer["sources"].items()}

    def stop(self) -> None:
        """Kill the process until the next fetch."""
        self._helper.stop()

    def close(self) -> None:
        """Kill the process for good."""
        self._helper.close()


def _parse_source(fields: Mapping[str, Any]) -> ModelArtifact | UnavailableModel:
    if "reason" in fields:
        return UnavailableModel(**fields)
    return ModelArtifact(**{**fields, "folder": Path(fields["folder"])})


def _fetch(query: ChampionQuery) -> Mapping[str, object]:
    from adloom import context
    from adloom.config import params
    from adloom.config.settings import Settings

    try:
        settings = Settings()
        registry = context.build_context(settings, params.load(Path(query.params)).project).registry
        cache = bundle_cache.open_cache(settings)
        champions = sources.find_champions(registry, cache, query.models, query.pins)
        _fetch_others(query, registry, cache)
    except AdloomError as error:
        return {"error": str(error), "is_user_error": isinstance(error, UserError)}
    return {"sources": {model: asdict(source) for model, source in champions.items()}, "hangs": is_call_running()}


def _fetch_others(query: ChampionQuery, registry: Registry, cache: BundleCache) -> None:
    """Fetch the running experiment and the challengers; without an answer, the cached ones go on."""
    others: dict[str, Callable[[], None]] = {}
    if "policy" in query.models and "policy" not in query.pins:
        others["the running experiment"] = lambda: fetch_experiment(registry, cache)
    if query.challengers:
        others["the challengers"] = lambda: fetch_challengers(registry, cache, query.challengers)
    for name, fetch in others.items():
        try:
            call_within(TIMEOUTS.versions + TIMEOUTS.files, name, fetch)
        except Exception as error:  # noqa: BLE001 - champions are served without them
            logger.warning("%s: no answer, the cached state goes on: %s", name, error)


def _import_client() -> None:
    from adloom.tracking.mlflow_server import prepare_environment

    prepare_environment()
    with contextlib.suppress(ImportError):  # the fetch reports it
        import mlflow.tracking  # noqa: F401


def main() -> None:
    """Answer "start" by an import of the client, and "fetch" by the champions."""
    query = ChampionQuery.parse(sys.argv[1])
    helper_process.answer_requests(lambda request: _fetch(query) if request == "fetch" else _import_client())


if __name__ == "__main__":
    main()
