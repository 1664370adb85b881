"""
The lane: what asks for an answer within milliseconds passes nothing else. It admits, checks, answers and counts, as a
plain ASGI function in front of the application, to which every other path goes on.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adloom.decisions.record import Feedback
from adloom.serving import messages, traces
from adloom.serving.auth import Access, Auth, Open
from adloom.serving.decider import Asked, Decider, Log, encode
from adloom.serving.line import Line, Reply, Request
from adloom.serving.messages import (
    DECIDE,
    FEEDBACK,
    MAX_BYTES,
    DecideAnswer,
    DecideRequest,
    FeedbackAnswer,
    FeedbackRequest,
)
from adloom.serving.metrics import DecisionMeter, Meter
from adloom.serving.problems import MEDIA_TYPE, Problem

ARRIVED = "adloom.arrived"  # key of the scope: seconds, by time.perf_counter
SLOW = 10  # seconds in which a body must have come
GONE = 499  # the client went away before an answer, in nginx's numbering
NOTHING: Mapping[str, str] = {}
ACCEPTED = encode(FeedbackAnswer())

logger = logging.getLogger(__name__)


class Counters(NamedTuple):
    """Where requests are counted."""

    meter: Meter
    decisions: DecisionMeter


class Lane:
    """ASGI middleware that answers the paths with a deadline itself, those of them that the service has."""

    def __init__(
        self,
        app: ASGIApp,
        decider: Decider,
        log: Log,
        auth: Auth | Open,
        counters: Counters,
        paths: Set[str],
        room: int,
    ) -> None:
        self._app, self._decider, self._log, self._auth = app, decider, log, auth
        self._meter, self._decisions = counters
        self.line = Line(self.answer, self.refuse, room)
        self._request = msgspec.json.Decoder(DecideRequest).decode
        self._feedback = msgspec.json.Decoder(FeedbackRequest).decode
        access: dict[str, Access] = {DECIDE: "decide", FEEDBACK: "feedback"}
        self._access = {path: access[path] for path in access if path in paths}
        self.urls = {path.encode(): path for path in self._access}  # as they are in a request without a query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path not in self._access:
            await self._app(scope, receive, send)
            return
        request = Request(path, dict(scope["headers"]), b"", scope.get(ARRIVED) or time.perf_counter())
        try:
            _only_post(scope["method"])
            self._admit(request)
            request = request._replace(body=await _body(receive))
            taken = self._taken(request)
        except Exception as error:  # noqa: BLE001 - the last line of defence
            taken = self._failed(request, error)
        [reply] = self._answered([request], [taken])
        if reply.status != GONE:
            await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
            await send({"type": "http.response.body", "body": reply.body})

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer requests, the decisions among them together."""
        return self._answered(requests, [self._admitted(request) for request in requests])

    def refuse(self, requests: Sequence[Request]) -> Reply:
        """Send requests away that have no room in the line, as fast as can be."""
        for request in requests:
            self._meter.record(request.path, BUSY.status, 0.0)
        return BUSY

    def _admitted(self, request: Request) -> DecideRequest | Reply:
        """Take a request that may be answered, and refuse another."""
        try:
            self._admit(request)
            if len(request.body) > MAX_BYTES:
                raise _too_large()
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
            raise messages.problem(error) from None
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
        now = time.perf_counter()
        self.line.answered(now)
        for request, reply in zip(requests, replies, strict=True):
            self._meter.record(request.path, reply.status, now - request.arrived)
        return replies

    def _decided(self, asked: Sequence[Asked]) -> Sequence[DecideAnswer | Exception]:
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

    def _admit(self, request: Request) -> None:
        """Raise Problem for a request that may not be answered."""
        headers = request.headers
        self._auth.admit(headers.get(b"authorization"), self._access[request.path])
        kind = headers.get(b"content-type", b"")
        if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
            said = kind[:80].decode("latin-1") or "absent"
            raise _unsupported(f"Content-Type is {said}, expected application/json (curl --json)")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise _unsupported("Content-Encoding is not understood; send the body as it is")
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced[:20]) > MAX_BYTES:
            raise _too_large()

    def _failed(self, request: Request, error: Exception) -> Reply:
        """Turn whatever went wrong into an answer."""
        if isinstance(error, ConnectionError):
            return Reply(GONE, b"", b"")
        if not isinstance(error, Problem):
            traces.current.set(traces.of(request.headers))
            logger.error("%s", request.path, exc_info=error)
            error = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something failed here; the service's log says what")
        return _problem(error, {"x-request-id": traces.request_id(request.headers).decode()})


class Life:
    """ASGI middleware that begins and ends something with the application."""

    def __init__(self, lane: Lane, begin: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]]) -> None:
        self.lane, self._begin, self._end = lane, begin, end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "lifespan":
            await self.lane(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._begin()
            if message["type"] == "lifespan.shutdown.complete":
                await self._end()
            await send(message)

        await self.lane(scope, receive, told)


async def _body(receive: Receive) -> bytes:
    """Return a body that may come in pieces. Raises Problem when it is too long or too late."""
    body = bytearray()
    try:
        async with asyncio.timeout(SLOW):
            while len(body) <= MAX_BYTES:
                message: Message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionError
                body += message.get("body", b"")
                if not message.get("more_body") and len(body) <= MAX_BYTES:
                    return bytes(body)
    except TimeoutError:
        close = {"Connection": "close"}
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, f"the body took over {SLOW} s", headers=close) from None
    raise _too_large()


def _only_post(method: str) -> None:
    if method != "POST":
        allow = {"Allow": "POST"}
        raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not understood here", headers=allow)


def _unsupported(said: str) -> Problem:
    return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, said)


def _too_large() -> Problem:
    close = {"Connection": "close"}
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {MAX_BYTES} bytes", headers=close)


def _ok(request: Request, body: bytes) -> Reply:
    return Reply(
        200, b"content-type: application/json\r\nx-request-id: %b\r\n" % traces.request_id(request.headers), body
    )


def _problem(problem: Problem, headers: Mapping[str, str] = NOTHING) -> Reply:
    named = {"content-type": MEDIA_TYPE, **headers, **problem.headers}
    head = "".join(f"{name.lower()}: {value}\r\n" for name, value in named.items())
    return Reply(int(problem.status), head.encode(), problem.content())


BUSY = _problem(Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many requests at once", headers={"Retry-After": "1"}))
