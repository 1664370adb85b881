"""The decision endpoint, which bypasses all other middleware."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Protocol

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adloom.decision_log.record import Feedback
from adloom.serving import request_context
from adloom.serving.api import decide_schemas
from adloom.serving.api.admission import CLIENT_CLOSED, Admission, read_headers
from adloom.serving.api.decide_schemas import (
    DECIDE,
    FEEDBACK,
    DecideAnswer,
    DecideRequest,
    FeedbackAnswer,
    FeedbackRequest,
)
from adloom.serving.api.problems import INTERNAL_ERROR, MEDIA_TYPE, Problem
from adloom.serving.decide.metrics import DecisionMetrics
from adloom.serving.decide.micro_batcher import MAX_QUEUE, Arrival, Headers, MicroBatcher, Reply, Request
from adloom.serving.decide.service import Decider, RecordSink, TimedRequest, encode

ARRIVAL = "adloom.arrival"  # key of the scope: an Arrival
NO_HEADERS: Mapping[str, str] = {}
ACCEPTED = encode(FeedbackAnswer())

logger = logging.getLogger(__name__)


class Tracing(Protocol):
    """Creates spans of requests."""

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return an application with a span for each request."""

    def record(self, request: Request, status: int, end: float) -> None:
        """Create the span of an answered request; `end` is by time.perf_counter."""


class DecisionEndpoint:
    """ASGI middleware that answers decisions and feedback."""

    def __init__(
        self,
        app: ASGIApp,
        decider: Decider,
        log: RecordSink,
        admission: Admission,
        metrics: DecisionMetrics,
        tracing: Tracing | None = None,
        max_queue: int = MAX_QUEUE,
    ) -> None:
        self._app, self._decider, self._log, self._admission = app, decider, log, admission
        self._metrics, self._tracing = metrics, tracing
        self.batcher = MicroBatcher(self.answer, self.refuse, self.drop, max_queue, decider.compare_shadow)
        self._decode_request = msgspec.json.Decoder(DecideRequest).decode
        self._decode_feedback = msgspec.json.Decoder(FeedbackRequest).decode
        self.paths = {DECIDE, FEEDBACK} & admission.endpoints.keys()
        self.urls = {path.encode(): path for path in self.paths}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that did not come over the fast path."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path not in self.paths:
            await self._app(scope, receive, send)
            return
        reply = await self._answer_one(path, scope, receive)
        if reply.status != CLIENT_CLOSED:
            await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
            await send({"type": "http.response.body", "body": reply.body})

    async def _answer_one(self, path: str, scope: Scope, receive: Receive) -> Reply:
        loop = asyncio.get_running_loop()
        headers: Headers = {}
        try:
            headers = read_headers(scope["headers"])
            body = await self._admission.read_body(scope, headers, receive)
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            request = Request(path, headers, b"", Arrival(time.perf_counter()))
            return self._record([request], [self._fail(request, error)])[0]
        reply: asyncio.Future[Reply] = loop.create_future()
        arrival = scope.get(ARRIVAL) or self.batcher.record_arrival(loop.call_soon)
        self.batcher.submit(Request(path, headers, body, arrival, is_admitted=True), reply.set_result)
        return await reply

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer requests with one call of the decider."""
        decoded = [self._decode(request) for request in requests]
        questions = [
            (question, request.arrival.time)
            for request, question in zip(requests, decoded, strict=True)
            if isinstance(question, DecideRequest)
        ]
        answers = iter(self._decide(questions))
        replies = [
            self._encode(request, next(answers)) if isinstance(result, DecideRequest) else result
            for request, result in zip(requests, decoded, strict=True)
        ]
        return self._record(requests, replies)

    def refuse(self, requests: Sequence[Request]) -> Reply:
        """Refuse requests that do not fit into the queue."""
        for request in requests:
            self._admission.count(request.path, TOO_BUSY.status, 0.0)
        return TOO_BUSY

    def drop(self, requests: Sequence[Request]) -> None:
        """Count requests whose clients closed the connection."""
        for request in requests:
            self._admission.count(request.path, CLIENT_CLOSED, 0.0)

    def _decode(self, request: Request) -> DecideRequest | Reply:
        """Return a decision request, or the reply to feedback or to a request with a problem."""
        try:
            if not request.is_admitted:
                self._admission.admit("POST", request.path, request.headers, len(request.body))
            if request.path == DECIDE:
                return self._decode_request(request.body)
            return self._accept(request, self._decode_feedback(request.body))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return self._fail(request, decide_schemas.problem(error))
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            return self._fail(request, error)

    def _accept(self, request: Request, feedback: FeedbackRequest) -> Reply:
        record = Feedback(time=time.time_ns() // 1000, **msgspec.structs.asdict(feedback))
        if not self._log.append(record):
            detail = "no room in the decision log; send it again"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "1"})
        return _ok(request, ACCEPTED)

    def _decide(self, questions: Sequence[TimedRequest]) -> Sequence[DecideAnswer | Exception]:
        try:
            answers = self._decider.answer(questions)
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            return [error] * len(questions)
        now = time.perf_counter()
        for (question, arrival), answer in zip(questions, answers, strict=True):
            if isinstance(answer, DecideAnswer):
                self._metrics.tiers[answer.tier].observe(now - arrival)
                self._metrics.late += (now - arrival) * 1e3 > question.tmax_ms
        return answers

    def _encode(self, request: Request, answer: DecideAnswer | Exception) -> Reply:
        return _ok(request, encode(answer)) if isinstance(answer, DecideAnswer) else self._fail(request, answer)

    def _record(self, requests: Sequence[Request], replies: list[Reply]) -> list[Reply]:
        now = time.perf_counter()
        self.batcher.record_answer(now)
        for request, reply in zip(requests, replies, strict=True):
            self._admission.count(request.path, reply.status, now - request.arrival.time)
            if self._tracing:
                self._tracing.record(request, reply.status, now)
        return replies

    def _fail(self, request: Request, error: Exception) -> Reply:
        if isinstance(error, ClientDisconnect):
            return Reply(CLIENT_CLOSED, b"", b"")
        if not isinstance(error, Problem):
            request_context.current.set(request_context.read_trace(request.headers))
            logger.error("%s", request.path, exc_info=error)
            error = INTERNAL_ERROR
        return problem_reply(error, {"x-request-id": request_context.request_id(request.headers).decode()})


class LifespanMiddleware:
    """ASGI middleware that runs `start` after the application's startup, and `stop` before its shutdown."""

    def __init__(
        self,
        endpoint: DecisionEndpoint,
        admission: Admission,
        start: Callable[[], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
    ) -> None:
        self.endpoint, self.admission, self._start, self._stop = endpoint, admission, start, stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "lifespan":
            await self.endpoint(scope, receive, send)
            return

        async def send_after_start(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._start()
            await send(message)

        async def receive_and_stop() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._stop()
            return message

        await self.endpoint(scope, receive_and_stop, send_after_start)


def _ok(request: Request, body: bytes) -> Reply:
    request_id = request_context.request_id(request.headers)
    return Reply(200, b"content-type: application/json\r\nx-request-id: %b\r\n" % request_id, body)


def problem_reply(problem: Problem, headers: Mapping[str, str] = NO_HEADERS) -> Reply:
    """Return the reply with a problem."""
    fields = {"content-type": MEDIA_TYPE, **headers, **problem.headers}
    head = "".join(f"{name.lower()}: {value}\r\n" for name, value in fields.items())
    return Reply(int(problem.status), head.encode(), problem.content())


TOO_BUSY = problem_reply(
    Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many requests at once", headers={"Retry-After": "1"})
)
