"""
The lane: what asks for an answer within milliseconds passes nothing else. It admits, checks, answers and counts, as a
plain ASGI function in front of the application, to which every other path goes on.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple, Protocol

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adloom.decision_log.record import Feedback
from adloom.serving import request_context
from adloom.serving.api import decide_schemas
from adloom.serving.api.admission import ADMITTED, GONE, Admission, read_body, read_headers, too_large
from adloom.serving.api.decide_schemas import (
    DECIDE,
    FEEDBACK,
    DecideAnswer,
    DecideRequest,
    FeedbackAnswer,
    FeedbackRequest,
)
from adloom.serving.api.problems import MEDIA_TYPE, Problem
from adloom.serving.decide.micro_batcher import Arrival, Headers, MicroBatcher, Reply, Request
from adloom.serving.decide.service import Decider, Log, TimedRequest, encode
from adloom.serving.metrics import DecisionMetrics

ARRIVED = "adloom.arrived"  # key of the scope: an Arrival
NOTHING: Mapping[str, str] = {}
ACCEPTED = encode(FeedbackAnswer())

logger = logging.getLogger(__name__)


class Tracing(Protocol):
    """What makes spans of requests, in the caller's trace."""

    def traced(self, app: ASGIApp) -> ASGIApp:
        """Return an application whose requests are spans."""

    def record(self, request: Request, status: int, end: float) -> None:
        """Make a span of a request that was answered at a time, by time.perf_counter."""


class MetricsSinks(NamedTuple):
    """Where requests are counted."""

    decisions: DecisionMetrics
    tracing: Tracing | None = None


class DecisionEndpoint:
    """ASGI middleware that answers the paths with a deadline itself, those of them that the service has."""

    def __init__(
        self, app: ASGIApp, decider: Decider, log: Log, admission: Admission, counters: MetricsSinks, room: int
    ) -> None:
        self._app, self._decider, self._log, self._admission = app, decider, log, admission
        self._decisions, self._tracing = counters
        self.line = MicroBatcher(self.answer, self.refuse, self.drop, room)
        self._request = msgspec.json.Decoder(DecideRequest).decode
        self._feedback = msgspec.json.Decoder(FeedbackRequest).decode
        self.paths = {DECIDE, FEEDBACK} & admission.endpoints.keys()
        self.urls = {path.encode(): path for path in self.paths}  # as they are in a request, before any query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that did not join the line where it was read: it joins the line here."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path not in self.paths:
            await self._app(scope, receive, send)
            return
        reply = await self._reply(path, scope, receive)
        if reply.status != GONE:
            await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
            await send({"type": "http.response.body", "body": reply.body})

    async def _reply(self, path: str, scope: Scope, receive: Receive) -> Reply:
        loop = asyncio.get_running_loop()
        headers: Headers = {}
        try:
            headers = read_headers(scope["headers"])
            limit = scope.get(ADMITTED) or self._admission.admit(scope["method"], path, headers)
            body = await read_body(receive, limit)
        except Exception as error:  # noqa: BLE001 - the last line of defence
            request = Request(path, headers, b"", Arrival(time.perf_counter()))
            return self._counted([request], [self._failed(request, error)])[0]
        told: asyncio.Future[Reply] = loop.create_future()
        arrival = scope.get(ARRIVED) or self.line.arrives(loop.call_soon)
        self.line.join(Request(path, headers, body, arrival, admitted=True), told.set_result)
        return await told

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer requests, the decisions among them together."""
        return self._answered(requests, [self._admitted(request) for request in requests])

    def refuse(self, requests: Sequence[Request]) -> Reply:
        """Send requests away that have no room in the line, as fast as can be."""
        for request in requests:
            self._admission.count(request.path, BUSY.status, 0.0)
        return BUSY

    def drop(self, requests: Sequence[Request]) -> None:
        """Count requests whose clients went away before their turn."""
        for request in requests:
            self._admission.count(request.path, GONE, 0.0)

    def _admitted(self, request: Request) -> DecideRequest | Reply:
        """Take a request that may be answered, and refuse another."""
        try:
            if not request.admitted:
                limit = self._admission.admit("POST", request.path, request.headers)
                if len(request.body) > limit:
                    raise too_large(limit)
            return self._taken(request)
        except Exception as error:  # noqa: BLE001 - the last line of defence
            return self._failed(request, error)

    def _taken(self, request: Request) -> DecideRequest | Reply:
        """Read a body, and answer what is no decision. Raises Problem."""
        try:
            if request.path == DECIDE:
                return self._request(request.body)
            told = self._feedback(request.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise decide_schemas.problem(error) from None
        record = Feedback(time=time.time_ns() // 1000, **msgspec.structs.asdict(told))
        if not self._log.append(record):
            full = "no room in the decision log; send it again"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, full, headers={"Retry-After": "1"})
        return _ok(request, ACCEPTED)

    def _answered(self, requests: Sequence[Request], taken: Sequence[DecideRequest | Reply]) -> list[Reply]:
        """Answer the decisions among what was taken, and count all."""
        asked = [
            (found, request.arrived)
            for request, found in zip(requests, taken, strict=True)
            if isinstance(found, DecideRequest)
        ]
        decided = iter(self._decided(asked))
        replies = [
            found if isinstance(found, Reply) else self._told(request, next(decided))
            for request, found in zip(requests, taken, strict=True)
        ]
        return self._counted(requests, replies)

    def _counted(self, requests: Sequence[Request], replies: list[Reply]) -> list[Reply]:
        now = time.perf_counter()
        self.line.answered(now)
        for request, reply in zip(requests, replies, strict=True):
            self._admission.count(request.path, reply.status, now - request.arrived)
            if self._tracing:
                self._tracing.record(request, reply.status, now)
        return replies

    def _decided(self, asked: Sequence[TimedRequest]) -> Sequence[DecideAnswer | Exception]:
        try:
            answers = self._decider.decide(asked)
        except Exception as error:  # noqa: BLE001 - the last line of defence
            return [error] * len(asked)
        now = time.perf_counter()
        for (request, arrived), answer in zip(asked, answers, strict=True):
            if isinstance(answer, DecideAnswer):
                self._decisions.tiers[answer.tier].observe(now - arrived)
                self._decisions.late += (now - arrived) * 1e3 > request.tmax_ms
        return answers

    def _told(self, request: Request, answer: DecideAnswer | Exception) -> Reply:
        return _ok(request, encode(answer)) if isinstance(answer, DecideAnswer) else self._failed(request, answer)

    def _failed(self, request: Request, error: Exception) -> Reply:
        """Turn whatever went wrong into an answer."""
        if isinstance(error, ClientDisconnect):
            return Reply(GONE, b"", b"")
        if not isinstance(error, Problem):
            request_context.current.set(request_context.of(request.headers))
            logger.error("%s", request.path, exc_info=error)
            error = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something failed here; the service's log says what")
        return problem_reply(error, {"x-request-id": request_context.request_id(request.headers).decode()})


class LifespanMiddleware:
    """ASGI middleware that starts something after the application has, and ends it before the application does."""

    def __init__(
        self,
        lane: DecisionEndpoint,
        admission: Admission,
        begin: Callable[[], Awaitable[None]],
        end: Callable[[], Awaitable[None]],
    ) -> None:
        self.lane, self.admission, self._begin, self._end = lane, admission, begin, end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "lifespan":
            await self.lane(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._begin()
            await send(message)

        async def asked() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._end()
            return message

        await self.lane(scope, asked, told)


def _ok(request: Request, body: bytes) -> Reply:
    return Reply(
        200,
        b"content-type: application/json\r\nx-request-id: %b\r\n" % request_context.request_id(request.headers),
        body,
    )


def problem_reply(problem: Problem, headers: Mapping[str, str] = NOTHING) -> Reply:
    """Return the reply that tells a problem."""
    named = {"content-type": MEDIA_TYPE, **headers, **problem.headers}
    head = "".join(f"{name.lower()}: {value}\r\n" for name, value in named.items())
    return Reply(int(problem.status), head.encode(), problem.content())


BUSY = problem_reply(Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many requests at once", headers={"Retry-After": "1"}))
