"""
`adloom listen`: a data platform posts that there is new data, and the pipeline runs if that is so.

However many post at once, one look at the sources goes on and one more waits, which is what all the others get. While
runs cool down, the next look is put off until then; nothing that was posted is forgotten while the service runs.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from adloom.config.settings import Settings
from adloom.errors import AdloomError, ConfigError
from adloom.kubeflow.submit import Triggered
from adloom.serving.api.admission import Admission
from adloom.serving.api.middleware import ApiMiddleware, current_request
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import Body, Endpoint
from adloom.serving.metrics import RequestMetrics
from adloom.storage import secret_file

TRIGGER = "/v1/trigger"
PAGES = {"/livez", "/readyz", "/metrics"}
MIN_TOKEN = 16  # characters
ADVICE = "`openssl rand -hex 32 > FILE` makes one, ADLOOM_TRIGGER_TOKEN_FILE=FILE names it"

logger = logging.getLogger(__name__)


class TriggerRequest(Body):
    """A reason to look whether there is something new to train on, or to score."""

    pipeline: Literal["training", "scoring"] = "training"
    reason: str = Field("", max_length=200, description="Why, for people; it is kept with the run.")


class TriggerAnswer(Body):
    """The run that was started, or the one that makes another needless."""

    run_id: str
    url: str | None = Field(description="Its page; null when ADLOOM_KFP_UI names no pages.")
    started: bool
    note: str = Field(description="Why it was started, or why not.")
    until: str | None = Field(None, description="Runs cool down; the sources are looked at again then (ISO 8601, UTC).")


ENDPOINTS = {TRIGGER: Endpoint(TRIGGER, TriggerRequest, TriggerAnswer, "Start a pipeline if there is a reason.", 4096)}

Start = Callable[[str, str], Triggered]  # (pipeline, cause): looks at the sources, and blocks while it does


class Triggers:
    """The triggers of one pipeline: one look goes on, one waits, and whoever comes meanwhile gets that one's answer."""

    def __init__(self, pipeline: str, start: Start) -> None:
        self._pipeline, self._start = pipeline, start
        self._now = asyncio.Lock()
        self._waiting: asyncio.Task[Triggered] | None = None
        self.causes: list[str] = []  # of the look that waits
        self._later: asyncio.TimerHandle | None = None

    async def ask(self, cause: str) -> Triggered:
        """Return what became of a look that begins after this was asked. Raises what `start` does."""
        if cause and cause not in self.causes:
            self.causes.append(cause)
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._look())
            self._waiting.add_done_callback(_log)  # also when whoever asked did not wait
        return await asyncio.shield(self._waiting)

    def close(self) -> None:
        """Put nothing off any longer."""
        if self._later:
            self._later.cancel()

    async def _look(self) -> Triggered:
        async with self._now:
            causes, self.causes, self._waiting = self.causes, [], None
            became = await asyncio.to_thread(self._start, self._pipeline, f"webhook {'; '.join(causes)}".strip())
            if became.until:
                self._put_off(became.until, causes)
            return became

    def _put_off(self, until: datetime, causes: list[str]) -> None:
        """Look once more when runs have cooled down."""
        self.close()
        seconds = max((until - datetime.now(UTC)).total_seconds(), 0)
        self._later = asyncio.get_running_loop().call_later(seconds, self._again, causes)

    def _again(self, causes: list[str]) -> None:
        self.causes = [*causes, *(cause for cause in self.causes if cause not in causes)]
        self._asked = asyncio.ensure_future(self.ask(""))  # kept, for the loop itself would forget it
        self._asked.add_done_callback(lambda task: task.exception())


class App(Starlette):
    """The service, and what it admits."""

    admission: Admission


def application(start: Start, settings: Settings) -> App:
    """Return the service. Raises ConfigError without a token that is long enough."""
    _token(settings)
    meter = RequestMetrics()
    app = App(
        routes=[
            Route(TRIGGER, _trigger, methods=["POST"]),
            Route("/livez", _live),
            Route("/readyz", _live),
            Route("/metrics", _metrics),
        ]
    )
    app.state.triggers = {pipeline: Triggers(pipeline, start) for pipeline in ("training", "scoring")}
    app.state.meter = meter

    def authorize(authorization: bytes | None, _: Endpoint) -> None:
        given = (authorization or b"").removeprefix(b"Bearer ")
        if not secrets.compare_digest(given, _token(settings).encode()):
            raise Problem(HTTPStatus.UNAUTHORIZED, "not allowed", headers={"WWW-Authenticate": "Bearer"})

    app.admission = Admission(meter, ENDPOINTS, PAGES, authorize)
    app.add_middleware(ApiMiddleware, admission=app.admission)
    return app


async def _trigger(request: Request) -> Response:
    trigger: TriggerRequest = current_request.get()
    try:
        became = await request.app.state.triggers[trigger.pipeline].ask(trigger.reason)
    except AdloomError:
        said = f"{trigger.pipeline}: not started; the service's log says why"
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, said, headers={"Retry-After": "60"}).response()
    answer = TriggerAnswer(
        run_id=became.run.run_id,
        url=became.run.url,
        started=became.started,
        note=became.note,
        until=became.until.isoformat() if became.until else None,
    )
    status = HTTPStatus.CREATED if became.started else HTTPStatus.ACCEPTED if became.until else HTTPStatus.OK
    return Response(orjson.dumps(answer.model_dump()), status, media_type="application/json")


async def _live(request: Request) -> Response:
    return PlainTextResponse("alive\n")


async def _metrics(request: Request) -> Response:
    return Response(generate_latest(request.app.state.meter.registry), media_type=CONTENT_TYPE_LATEST)


def _token(settings: Settings) -> str:
    """Return the token, reading its file again. Raises ConfigError when there is none, or a short one."""
    try:
        given = secret_file.read_text(settings.trigger_token_file)[0] if settings.trigger_token_file else ""
    except (OSError, ValueError) as error:
        why = secret_file.reason(error)
        raise ConfigError(f"ADLOOM_TRIGGER_TOKEN_FILE={settings.trigger_token_file}: {why}") from None
    token = given.strip() or (settings.trigger_token.get_secret_value() if settings.trigger_token else "")
    if len(token) < MIN_TOKEN:
        raise ConfigError(f"token of `adloom listen`: {len(token)} characters, expected at least {MIN_TOKEN}; {ADVICE}")
    return token


def _log(looked: asyncio.Task[Triggered]) -> None:
    if not looked.cancelled() and (error := looked.exception()):
        logger.warning("a trigger was in vain: %s", error)
