"""The registry worker: its query, its answers, and its failures."""

from pathlib import Path
from typing import Any

import pytest

from adloom.errors import AdloomError, ExternalServiceError, UserError
from adloom.serving.models.registry_worker import ChampionQuery, RegistryWorker
from adloom.serving.models.sources import ModelArtifact, UnavailableModel

QUERY = ChampionQuery("params.yaml", ["gan", "policy"], {"policy": 3})


class Helper:
    """A helper process that gives this answer, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.requests, self.is_stopped = answer, list[str](), False

    def request(self, message: str, seconds: float) -> Any:
        self.requests.append(message)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def stop(self) -> None:
        self.is_stopped = True


def create_worker(answer: Any) -> tuple[RegistryWorker, Helper]:
    worker, helper = RegistryWorker(QUERY), Helper(answer)
    worker._helper = helper  # type: ignore[assignment]
    return worker, helper


def test_a_query_survives_json() -> None:
    assert ChampionQuery.parse(QUERY.to_json()) == QUERY


@pytest.mark.parametrize("hangs", [False, True])
def test_sources_are_parsed_and_a_process_with_hanging_calls_is_stopped(hangs: bool) -> None:
    sources = {
        "gan": {"folder": "/cache/abc", "version": 2, "source": "registry"},
        "policy": {"reason": "no champion", "is_unknown": True},
    }
    worker, helper = create_worker({"sources": sources, "hangs": hangs})
    assert worker() == {
        "gan": ModelArtifact(Path("/cache/abc"), 2, "registry"),
        "policy": UnavailableModel("no champion", is_unknown=True),
    }
    assert helper.requests == ["start", "fetch"]
    assert worker.started.is_set()
    assert helper.is_stopped == hangs


@pytest.mark.parametrize(("is_user_error", "kind"), [(True, UserError), (False, AdloomError)])
def test_errors_of_the_process_keep_their_kind(is_user_error: bool, kind: type[AdloomError]) -> None:
    worker, _ = create_worker({"error": "params.yaml: no project", "is_user_error": is_user_error})
    with pytest.raises(kind, match="params.yaml: no project") as raised:
        worker()
    assert isinstance(raised.value, UserError) == is_user_error


def test_a_process_that_ends_is_an_external_error() -> None:
    worker, _ = create_worker(ExternalServiceError("its process ended with status 1"))
    with pytest.raises(ExternalServiceError, match="fetching champions: its process ended with status 1"):
        worker()
    assert not worker.started.is_set()
