"""
Fetching champions in a process of its own: MLflow's client takes seconds to import and a hundred megabytes, and
whatever the registry or the store of its files suffers from, a service that only reads a line does not.
"""

import contextlib
import json
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from adloom.deadline import is_call_running
from adloom.errors import AdloomError, ExternalServiceError, UserError
from adloom.serving.models import bundle_cache, helper, sources
from adloom.serving.models.helper import HelperProcess
from adloom.serving.models.sources import PATIENCE, ModelArtifact, Sources, UnavailableModel

STARTING = 60.0  # seconds to import MLflow's client
SLACK = 10.0  # seconds beside those that a look waits for others


@dataclass(frozen=True)
class Wanted:
    """Which champions."""

    params: str  # path of params.yaml, which names the project
    models: list[str]
    pins: Mapping[str, int]

    def to_json(self) -> str:
        """Return what `parse` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


class RegistryWorker:
    """The process that fetches."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.asking = threading.Event()  # the process has started, and asks the registry
        self._helper = HelperProcess("adloom.serving.models.registry_worker", wanted.to_json())

    def __call__(self) -> Sources:
        """Return where the champions are; blocks until they are. Raises AdloomError when nobody can tell."""
        try:
            self._helper.ask("start", STARTING)
            self.asking.set()
            answer = self._helper.ask("look", PATIENCE.answers + PATIENCE.files + SLACK)
        except ExternalServiceError as error:
            raise ExternalServiceError(f"fetching champions: {error}; it is started again") from None
        if reason := answer.get("error"):
            raise (UserError if answer["mendable"] else AdloomError)(reason)
        if answer["hangs"]:
            self._helper.stop()  # with the calls that hang in it
        return {model: _source(found) for model, found in answer["sources"].items()}

    def stop(self) -> None:
        """End the process until the next look."""
        self._helper.stop()

    def close(self) -> None:
        """End the process for good, also when it hangs."""
        self._helper.close()


def _source(found: Mapping[str, Any]) -> ModelArtifact | UnavailableModel:
    return (
        UnavailableModel(**found) if "reason" in found else ModelArtifact(**{**found, "folder": Path(found["folder"])})
    )


def _look(wanted: Wanted) -> Mapping[str, object]:
    from adloom import context
    from adloom.config import params
    from adloom.config.settings import Settings

    try:
        settings = Settings()
        registry = context.build_context(settings, params.load(Path(wanted.params)).project).registry
        found = sources.find_champions(registry, bundle_cache.opened(settings), wanted.models, wanted.pins)
    except AdloomError as error:
        return {"error": str(error), "mendable": isinstance(error, UserError)}
    return {"sources": {model: asdict(source) for model, source in found.items()}, "hangs": is_call_running()}


def _import_client() -> None:
    from adloom.tracking.mlflow_server import prepare_environment

    prepare_environment()
    with contextlib.suppress(ImportError):  # a look says so
        import mlflow.tracking  # noqa: F401


def main() -> None:
    """Answer each line of the input: prepare for a look, or look where the champions are."""
    wanted = Wanted.parse(sys.argv[1])
    helper.answer(lambda question: _look(wanted) if question == "look" else _import_client())


if __name__ == "__main__":
    main()
