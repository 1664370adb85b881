"""
`adloom trigger-server`: data platforms post to /v1/trigger, and a pipeline runs if its sources have changed.

Concurrent triggers share work: one scan of the sources runs, one more waits, and all later requests get its result.
During a cool-down the next scan is postponed; no trigger is lost while the service runs.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from pydantic import Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from adloom.config.settings import Settings
from adloom.errors import AdloomError, ConfigError
from adloom.kubeflow.submit import TriggerResult
from adloom.serving.api import auth as authentication
from adloom.serving.api.admission import Admission
from adloom.serving.api.endpoints import Endpoint
from adloom.serving.api.middleware import ApiMiddleware, current_request
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import Body
from adloom.serving.metrics import RequestMetrics

TRIGGER = "/v1/trigger"
PAGES = {"/livez", "/readyz", "/metrics"}
REMOVED = (
    "ADLOOM_TRIGGER_TOKEN and ADLOOM_TRIGGER_TOKEN_FILE: no longer supported; unset them, make a token with "
    "`adloom token NAME --scopes trigger --file tokens` and set ADLOOM_TOKENS_FILE=tokens"
)

logger = logging.getLogger(__name__)


class TriggerRequest(Body):
    """A reason to check whether there is new data to train on or to score."""

    pipeline: Literal["training", "scoring"] = Field("training", description="The pipeline to run.")
    reason: str = Field("", max_length=200, description="Why, for people; it is kept with the run.")


class TriggerResponse(Body):
    """The run that was started, or the run that makes another one unnecessary."""

    run_id: str = Field(description="The run on Kubeflow Pipelines.")
    url: str | None = Field(description="Its page; null when ADLOOM_KFP_UI names no pages.")
    started: bool = Field(description="Whether this trigger started it.")
    note: str = Field(description="Why it was started, or why not.")
    until: str | None = Field(None, description="Runs cool down; the sources are scanned again then (ISO 8601, UTC).")


ENDPOINTS = {
    TRIGGER: Endpoint(
        TRIGGER, TriggerRequest, TriggerResponse, "Start a pipeline if there is a reason.", 4096, {"trigger"}
    )
}

StartPipeline = Callable[[str, str], TriggerResult]  # (pipeline, cause): scans the sources, and blocks meanwhile


class TriggerQueue:
    """The triggers of one pipeline: one scan runs, one waits, and later requests share the waiting one."""

    def __init__(self, pipeline: str, start: StartPipeline) -> None:
        self._pipeline, self._start = pipeline, start
        self._running = asyncio.Lock()
        self._waiting: asyncio.Task[TriggerResult] | None = None
        self.causes: list[str] = []  # of the waiting scan
        self._postponed: asyncio.TimerHandle | None = None

    async def submit(self, cause: str) -> TriggerResult:
        """Return the result of a scan that begins after this call. Raises what `start` raises."""
        if cause and cause not in self.causes:
            self.causes.append(cause)
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._scan())
            self._waiting.add_done_callback(_log_failure)  # also when the client went away
        return await asyncio.shield(self._waiting)

    def close(self) -> None:
        """Cancel the postponed scan."""
        if self._postponed:
            self._postponed.cancel()

    async def _scan(self) -> TriggerResult:
        async with self._running:
            causes, self.causes, self._waiting = self.causes, [], None
            result = await asyncio.to_thread(self._start, self._pipeline, f"webhook {'; '.join(causes)}".strip())
            if result.until:
                self._postpone(result.until, causes)
            return result

    def _postpone(self, until: datetime, causes: list[str]) -> None:
        """Scan once more after the cool-down."""
        self.close()
        seconds = max((until - datetime.now(UTC)).total_seconds(), 0)
        self._postponed = asyncio.get_running_loop().call_later(seconds, self._scan_postponed, causes)

    def _scan_postponed(self, causes: list[str]) -> None:
        self.causes = [*causes, *(cause for cause in self.causes if cause not in causes)]
        self._resumed = asyncio.ensure_future(self.submit(""))  # the loop itself keeps no reference to it
        self._resumed.add_done_callback(lambda task: task.exception())


class App(Starlette):
    """The service with its admission."""

    admission: Admission


def create_app(start: StartPipeline, settings: Settings) -> App:
    """Return the service. Raises ConfigError without a tokens file, or with a variable of an earlier version."""
    if settings.trigger_token:
        raise ConfigError(REMOVED)
    auth, metrics = authentication.create_auth(settings), RequestMetrics()
    Gauge(
        "adloom_tokens_unreadable", "Whether the tokens file cannot be read.", registry=metrics.registry
    ).set_function(lambda: auth.is_unreadable)
    queues = {pipeline: TriggerQueue(pipeline, start) for pipeline in ("training", "scoring")}

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        auth.start()
        yield
        auth.close()
        for queue in queues.values():
            queue.close()

    app = App(
        routes=[
            Route(TRIGGER, _trigger, methods=["POST"]),
            Route("/livez", _live),
            Route("/readyz", _ready),
            Route("/metrics", _metrics),
        ],
        lifespan=lifespan,
    )
    app.state.queues, app.state.metrics, app.state.auth = queues, metrics, auth
    app.admission = Admission(metrics, ENDPOINTS, PAGES, lambda header, endpoint: auth.admit(header, endpoint.access))
    app.add_middleware(ApiMiddleware, admission=app.admission)
    return app


async def _trigger(request: Request) -> Response:
    trigger: TriggerRequest = current_request.get()
    try:
        result = await request.app.state.queues[trigger.pipeline].submit(trigger.reason)
    except AdloomError:
        detail = f"{trigger.pipeline}: not started; the service's log says why"
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "60"}).response()
    response = TriggerResponse(
        run_id=result.run.run_id,
        url=result.run.url,
        started=result.started,
        note=result.note,
        until=result.until.isoformat() if result.until else None,
    )
    status = HTTPStatus.CREATED if result.started else HTTPStatus.ACCEPTED if result.until else HTTPStatus.OK
    return Response(orjson.dumps(response.model_dump()), status, media_type="application/json")


async def _live(request: Request) -> Response:
    return PlainTextResponse("alive\n")


async def _ready(request: Request) -> Response:
    if request.app.state.auth.is_closed:
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, authentication.CLOSED).response()
    return PlainTextResponse("ready\n")


async def _metrics(request: Request) -> Response:
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _log_failure(scan: asyncio.Task[TriggerResult]) -> None:
    if not scan.cancelled() and (error := scan.exception()):
        logger.warning("trigger failed: %s", error)
