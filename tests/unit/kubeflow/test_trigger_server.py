"""The webhook of data platforms, in process: who may, what many at once make, and what is put off."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tests.support.tokens import tokens_file

from adloom.config.settings import Settings
from adloom.errors import ConfigError, ExternalServiceError
from adloom.kubeflow import trigger_server
from adloom.kubeflow.client.base import PipelineRun
from adloom.kubeflow.submit import TriggerResult
from adloom.kubeflow.trigger_server import TRIGGER, create_app

TOKEN = "a-token-that-is-long-enough"
ALLOWED = {"Authorization": f"Bearer {TOKEN}"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = PipelineRun("run-1", "shop-training", "RUNNING", NOW, {}, "d", "why", "http://kfp/run-1")


@dataclass
class Looks:
    """A start that notes its looks, waits for a gate, and answers what it is told to, the last answer for ever."""

    answers: list[TriggerResult | Exception]
    gate: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, pipeline: str, cause: str) -> TriggerResult:
        self.asked.append((pipeline, cause))
        self.gate.wait(timeout=30)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


STARTED = TriggerResult(RUN, started=True, note="changed")
UNCHANGED = TriggerResult(RUN, started=False, note="nothing changed")


def looks(*answers: TriggerResult | Exception, closed: bool = False) -> Looks:
    found = Looks(list(answers))
    if not closed:
        found.gate.set()
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tokens_file=tokens_file(tmp_path, TOKEN))


def client(start: trigger_server.StartPipeline, settings: Settings) -> TestClient:
    return TestClient(create_app(start, settings), raise_server_exceptions=False)


def test_a_trigger_is_answered_with_the_run(settings: Settings) -> None:
    start = looks(STARTED, UNCHANGED)
    asking = client(start, settings)
    first = asking.post(TRIGGER, json={"reason": "orders of Monday"}, headers=ALLOWED)
    assert (first.status_code, first.json()) == (
        201,
        {"run_id": "run-1", "url": "http://kfp/run-1", "started": True, "note": "changed", "until": None},
    )
    assert asking.post(TRIGGER, json={"pipeline": "scoring"}, headers=ALLOWED).status_code == 200
    assert start.asked == [("training", "webhook orders of Monday"), ("scoring", "webhook")]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}x"}])
@pytest.mark.parametrize("body", [b"{}", b"not JSON", b"x" * 100_000])
def test_strangers_are_told_nothing_before_their_body_is_read(
    settings: Settings, headers: dict[str, str], body: bytes
) -> None:
    start = looks(STARTED)
    refused = client(start, settings).post(
        TRIGGER, content=body, headers={**headers, "Content-Type": "application/json"}
    )
    assert (refused.status_code, refused.json()["detail"]) == (401, "not allowed")
    assert start.asked == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        (b'{"pipeline": "demo"}', 422),
        (b'{"reason": 1}', 422),
        (b'{"unknown": 1}', 422),
        (b'{"reason": "%s"}' % (b"x" * 201), 422),
        (b" " * 5000, 413),
    ],
)
def test_garbage_is_refused_by_its_field(settings: Settings, body: bytes, status: int) -> None:
    start = looks(STARTED)
    refused = client(start, settings).post(
        TRIGGER, content=body, headers={**ALLOWED, "Content-Type": "application/json"}
    )
    assert (refused.status_code, refused.headers["content-type"]) == (status, "application/problem+json")
    assert start.asked == []


def test_a_server_that_is_away_is_told_to_the_log_and_asked_again_later(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    asking = client(looks(ExternalServiceError("s3://shop: no answer"), STARTED), settings)
    failed = asking.post(TRIGGER, json={}, headers=ALLOWED)
    assert (failed.status_code, failed.headers["retry-after"]) == (503, "60")
    assert "s3" not in failed.text
    assert "trigger failed: s3://shop: no answer" in caplog.text
    assert asking.post(TRIGGER, json={}, headers=ALLOWED).status_code == 201


def test_a_storm_makes_one_look_and_one_more_for_all_that_came_meanwhile(settings: Settings) -> None:
    start = looks(STARTED, UNCHANGED, closed=True)

    async def storm(post: Callable[[str], Awaitable[httpx.Response]]) -> list[httpx.Response]:
        first = asyncio.ensure_future(post("first"))
        while not start.asked:
            await asyncio.sleep(0)
        others = [asyncio.ensure_future(post(reason)) for reason in ["second", "third", "second"] * 20]
        while len(app.state.queues["training"].causes) < 2:
            await asyncio.sleep(0)
        start.gate.set()
        return [await first, *[await other for other in others]]

    app = create_app(start, settings)
    answers = asyncio.run(asking(app, storm))
    assert [answer.status_code for answer in answers] == [201, *[200] * 60]
    assert start.asked == [("training", "webhook first"), ("training", "webhook second; third")]


def test_what_comes_while_runs_cool_down_is_looked_at_when_they_have(settings: Settings) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=50)
    cooling = TriggerResult(RUN, started=False, note="run-1 started just now", until=soon)
    start = looks(cooling, STARTED)

    async def once(post: Callable[[str], Awaitable[httpx.Response]]) -> httpx.Response:
        answer = await post("orders")
        while len(start.asked) < 2:
            await asyncio.sleep(0)
        return answer

    answer = asyncio.run(asking(create_app(start, settings), once))
    assert (answer.status_code, answer.json()["until"]) == (202, soon.isoformat())
    assert start.asked == [("training", "webhook orders")] * 2


async def asking(app: Starlette, do: Callable[[Callable[[str], Awaitable[httpx.Response]]], Awaitable[Any]]) -> Any:
    """Give a function that posts a reason to a coroutine, and return what that returns."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://trigger", headers=ALLOWED) as http:
        return await do(lambda reason: http.post(TRIGGER, json={"reason": reason}, timeout=60))


@pytest.mark.parametrize("variable", ["ADLOOM_TRIGGER_TOKEN", "ADLOOM_TRIGGER_TOKEN_FILE"])
def test_the_variables_of_earlier_versions_are_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "secret")
    with pytest.raises(
        ConfigError, match=f"{variable}.*`adloom token NAME --scopes trigger.*ADLOOM_TOKENS_FILE"
    ) as error:
        create_app(looks(STARTED), Settings(tokens_file=settings.tokens_file))
    assert "secret" not in str(error.value)


def test_it_does_not_start_without_tokens() -> None:
    with pytest.raises(ConfigError, match="ADLOOM_TOKENS_FILE"):
        create_app(looks(STARTED), Settings())


def test_a_token_needs_the_scope(tmp_path: Path) -> None:
    other = Settings(tokens_file=tokens_file(tmp_path, TOKEN, scopes="decide,admin"))
    assert client(looks(STARTED), other).post(TRIGGER, json={}, headers=ALLOWED).status_code == 403


def test_a_new_tokens_file_is_read_and_an_unreadable_one_closes_the_service(settings: Settings, tmp_path: Path) -> None:
    http = client(looks(STARTED), settings)
    assert http.post(TRIGGER, json={}, headers=ALLOWED).status_code == 201
    tokens_file(tmp_path, "another-token")
    http.app.state.auth.reload()  # type: ignore[attr-defined]
    assert http.post(TRIGGER, json={}, headers=ALLOWED).status_code == 401
    http.app.state.auth._read_at -= 3600  # type: ignore[attr-defined]
    assert [http.get("/readyz").status_code, http.post(TRIGGER, json={}, headers=ALLOWED).status_code] == [503, 503]
    assert "adloom_tokens_unreadable 1.0" in http.get("/metrics").text


def test_probes_and_metrics_ask_for_no_token(settings: Settings) -> None:
    asking = client(looks(STARTED), settings)
    asking.post(TRIGGER, json={}, headers=ALLOWED)
    assert [asking.get(page).status_code for page in ("/livez", "/readyz")] == [200, 200]
    assert 'adloom_requests_total{path="/v1/trigger",status="201"} 1.0' in asking.get("/metrics").text
    assert "/v1/trigger" in asking.get("/nowhere").json()["detail"]
