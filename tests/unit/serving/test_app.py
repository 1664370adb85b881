"""The decide app: its pages, its readiness, and the order in which it stops."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from tests.support.decision_logs import LIMITS, WAIT_SECONDS, decision, read_log, select_records
from tests.support.http_client import DARK, PROBLEM, encode, post_invalid, post_ok
from tests.support.tiny_models import CATEGORIES

from adloom.decision_log.log import DecisionLog
from adloom.serving import app as decide_app
from adloom.serving import server
from adloom.serving.api.schemas import GENERATE, READ, SEGMENT
from adloom.serving.app import DECIDE_ENDPOINTS, Service, ServiceDependencies
from adloom.serving.models.loader import Models
from adloom.serving.models.refresher import ModelRefresher, RefreshResult
from adloom.serving.models.sources import Sources
from adloom.serving.segments import PseudonymKeys
from adloom.storage.local import FolderObjectStore

DEPENDENCIES = decide_app.ServiceDependencies(PseudonymKeys(None))


def test_models(client: TestClient, models: Models) -> None:
    listed = client.get("/v1/models").json()
    names = [model["model"]["name"] for model in listed["models"]]
    assert names == ["gan", "cnn", "lstm", "style", "music", "audience", "recommender", "policy"]
    assert listed["models"][0]["categories"] == CATEGORIES
    assert listed["models"][0]["since"].endswith("+00:00")
    assert listed["absent"] == {}


def test_a_model_that_is_not_there(models: Models) -> None:
    partial = Models({"cnn": models.cnn}, {"gan": "skipped: no source", "audience": "skipped: no source"})
    with TestClient(server.create_named_app("all", partial, DEPENDENCIES)) as client:
        problem = post_invalid(client, GENERATE, {"category": "Bag"}, 503)
        assert problem["detail"] == "model gan is not served: skipped: no source"
        assert post_invalid(client, SEGMENT, {"users": ["1"]}, 503)["title"] == "Service Unavailable"
        assert post_ok(client, READ, {"pictures": [encode(DARK)]})["items"][0]["category"] == "Bag"
        assert client.get("/v1/models").json()["absent"] == partial.absent
        sources = {"cnn": "folder", "gan": "none", "audience": "none"}
        assert client.get("/readyz").json() == {"ready": True, "models": ["cnn"], "sources": sources}


def test_nothing_is_ready_without_models() -> None:
    nothing = Models({}, {"gan": "gone"})
    with TestClient(server.create_named_app("creatives", nothing, DEPENDENCIES)) as client:
        assert client.get("/livez").status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, ready.headers["content-type"]) == (503, PROBLEM)
        assert ready.json()["detail"] == "no model is served: gan: gone"


def test_the_decide_app_is_ready_without_models_for_it_answers_all_the_same() -> None:
    client = TestClient(decide_app.create_decide_app(Models({}, {"policy": "gone"}), DEPENDENCIES))
    assert client.get("/readyz").json() == {"ready": True, "models": [], "sources": {"policy": "none"}}


@pytest.mark.parametrize("served", [{}, {"audience": "served"}])
def test_who_does_not_know_its_champions_is_ready_only_when_told_to(models: Models, served: Any) -> None:
    bundles = {name: getattr(models, name) for name in served}
    unknown = Models(bundles, {"policy": "no answer"}, frozenset({"policy"}))
    waiting = TestClient(decide_app.create_decide_app(unknown, DEPENDENCIES)).get("/readyz")
    assert (waiting.status_code, waiting.json()["detail"].endswith("policy: no answer")) == (503, True)
    ready = TestClient(decide_app.create_decide_app(unknown, replace(DEPENDENCIES, ready_without_model=True))).get(
        "/readyz"
    )
    assert (ready.status_code, ready.json()["models"]) == (200, list(served))
    assert ready.json()["sources"]["policy"] == "none"


def test_a_swap_between_two_requests(models: Models) -> None:
    service = decide_app.Service(Models({}, {"audience": "not yet"}), DEPENDENCIES, decide_app.DECIDE_ENDPOINTS)
    client = TestClient(decide_app.with_middleware(service))
    post_invalid(client, SEGMENT, {"users": ["1"]}, 503)
    service.publish(RefreshResult(models, ("audience",), {}))
    assert post_ok(client, SEGMENT, {"users": ["1"]})["items"] == [{"segment": "segment-1", "reason": None}]


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return DecisionLog(tmp_path / "log", "shop", LIMITS, FolderObjectStore(str(tmp_path / "remote")))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


def lifespan(received: asyncio.Queue[Message]) -> tuple[Scope, Receive, Send]:
    async def send(message: Message) -> None:
        pass

    return {"type": "lifespan"}, received.get, send


async def hangs_at_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that never ends."""
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await asyncio.Event().wait()


def test_the_log_is_shipped_while_the_application_hangs_at_its_end(tmp_path: Path, log: DecisionLog) -> None:
    async def serve() -> None:
        service = Service(Models({}, {}), ServiceDependencies(PseudonymKeys(None), log=log), DECIDE_ENDPOINTS)
        received: asyncio.Queue[Message] = asyncio.Queue()
        serving = asyncio.ensure_future(service.wrap(hangs_at_the_end)(*lifespan(received)))
        received.put_nowait({"type": "lifespan.startup"})
        log.append(decision())
        received.put_nowait({"type": "lifespan.shutdown"})
        await until(lambda: log.statistics().shipped == 1)
        serving.cancel()

    asyncio.run(serve())
    assert select_records(read_log(tmp_path / "remote")) == [decision()]


def test_the_log_is_shipped_while_the_registry_hangs(tmp_path: Path, log: DecisionLog) -> None:
    answers, asked = threading.Event(), threading.Event()

    def find() -> Sources:
        asked.set()
        answers.wait(WAIT_SECONDS)
        return {}

    async def serve() -> None:
        refresher = ModelRefresher(find, 1, interval=0.01)
        refresher.start({})
        service = Service(
            Models({}, {}), ServiceDependencies(PseudonymKeys(None), log=log, refresher=refresher), DECIDE_ENDPOINTS
        )
        await service.start()
        await until(asked.is_set)
        log.append(decision())
        ending = asyncio.create_task(service.stop())
        await until(lambda: log.statistics().shipped == 1)
        answers.set()
        await ending

    asyncio.run(serve())
    assert select_records(read_log(tmp_path / "remote")) == [decision()]
