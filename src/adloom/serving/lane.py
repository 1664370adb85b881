"""
The lane: what asks for an answer within milliseconds passes nothing else. It admits, checks, answers and counts, as a
plain ASGI function in front of the application, to which every other path goes on.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Set
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adloom.decisions.record import Feedback
from adloom.serving import messages, traces
from adloom.serving.auth import Access, Auth, Open
from adloom.serving.decider import Decider, Log, encode
from adloom.serving.line import Line
from adloom.serving.messages import DECIDE, FEEDBACK, MAX_BYTES, DecideRequest, FeedbackAnswer, FeedbackRequest
from adloom.serving.metrics import DecisionMeter, Meter
from adloom.serving.problems import MEDIA_TYPE, Problem

ARRIVED = "adloom.arrived"  # key of the scope: seconds, by time.perf_counter
SLOW = 10  # seconds in which a body must have come
GONE = 499  # the client went away before an answer, in nginx's numbering
NOTHING: Mapping[str, str] = {}
ACCEPTED = encode(FeedbackAnswer())

logger = logging.getLogger(__name__)

Headers = Mapping[bytes, bytes]


class Reply(NamedTuple):
    """What is sent back, beside the length of the body."""

    status: int
    head: bytes  # lines of headers, in small letters
    body: bytes

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers, in pairs, with the length."""
        lines = (line.partition(b": ") for line in self.head.splitlines())
        return [*((name, value) for name, _, value in lines), (b"content-length", b"%d" % len(self.body))]


class Fast(NamedTuple):
    """A path of the lane."""

    access: Access
    answer: Callable[[bytes, float], bytes]  # from a body, and when the request arrived


class Counters(NamedTuple):
    """Where requests are counted."""

    meter: Meter
    decisions: DecisionMeter
    line: Line


class Lane:
    """ASGI middleware that answers the paths with a deadline itself, those of them that the service has."""

    def __init__(
        self, app: ASGIApp, decider: Decider, log: Log, auth: Auth | Open, counters: Counters, paths: Set[str]
    ) -> None:
        self._app, self._decider, self._log, self._auth = app, decider, log, auth
        self._meter, self._decisions, self.line = counters
        self._request = msgspec.json.Decoder(DecideRequest).decode
        self._feedback = msgspec.json.Decoder(FeedbackRequest).decode
        fast = {DECIDE: Fast("decide", self._decide), FEEDBACK: Fast("feedback", self._take)}
        self._paths = {path: fast[path] for path in fast if path in paths}
        self.urls = {path.encode(): path for path in self._paths}  # as they are in a request without a query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        fast = self._paths.get(scope.get("path", "")) if scope["type"] == "http" else None
        if fast is None:
            await self._app(scope, receive, send)
            return
        path, arrived = scope["path"], scope.get(ARRIVED) or time.perf_counter()
        headers = dict(scope["headers"])
        try:
            _only_post(scope["method"])
            self._admit(headers, fast.access)
            reply = self._answered(headers, fast.answer(await _body(receive), arrived))
        except Exception as error:  # noqa: BLE001 - the last line of defence
            reply = self._failed(path, headers, error)
        self._count(path, reply.status, arrived)
        if reply.status != GONE:
            await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
            await send({"type": "http.response.body", "body": reply.body})

    def answer(self, path: str, headers: Headers, body: bytes, arrived: float) -> Reply:
        """Answer a POST whose body is here."""
        fast = self._paths[path]
        try:
            self._admit(headers, fast.access)
            if len(body) > MAX_BYTES:
                raise _too_large()
            reply = self._answered(headers, fast.answer(body, arrived))
        except Exception as error:  # noqa: BLE001 - the last line of defence
            reply = self._failed(path, headers, error)
        self._count(path, reply.status, arrived)
        return reply

    def refused(self, path: str) -> Reply:
        """Send a request away, as fast as can be."""
        self._meter.record(path, BUSY.status, 0.0)
        return BUSY

    def _admit(self, headers: Headers, access: Access) -> None:
        """Raise Problem for a request that may not be answered."""
        self._auth.admit(headers.get(b"authorization"), access)
        kind = headers.get(b"content-type", b"")
        if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
            said = kind[:80].decode("latin-1") or "absent"
            raise _unsupported(f"Content-Type is {said}, expected application/json (curl --json)")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise _unsupported("Content-Encoding is not understood; send the body as it is")
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced[:20]) > MAX_BYTES:
            raise _too_large()

    def _answered(self, headers: Headers, body: bytes) -> Reply:
        return Reply(200, b"content-type: application/json\r\nx-request-id: %b\r\n" % traces.request_id(headers), body)

    def _failed(self, path: str, headers: Headers, error: Exception) -> Reply:
        """Turn whatever went wrong into an answer."""
        if isinstance(error, ConnectionError):
            return Reply(GONE, b"", b"")
        if not isinstance(error, Problem):
            traces.current.set(traces.of(headers))
            logger.error("%s", path, exc_info=error)
            error = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something failed here; the service's log says what")
        return _told(error, {"x-request-id": traces.request_id(headers).decode()})

    def _count(self, path: str, status: int, arrived: float) -> None:
        now = time.perf_counter()
        self.line.answered(now)
        self._meter.record(path, status, now - arrived)

    def _decide(self, body: bytes, arrived: float) -> bytes:
        try:
            asked = self._request(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise messages.problem(error) from None
        answer = self._decider.decide(asked, arrived)
        took = time.perf_counter() - arrived
        self._decisions.tiers[answer.tier].observe(took)
        if took * 1e3 > asked.tmax_ms:
            self._decisions.late += 1
        return encode(answer)

    def _take(self, body: bytes, arrived: float) -> bytes:
        try:
            told = self._feedback(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise messages.problem(error) from None
        record = Feedback(time=time.time_ns() // 1000, **msgspec.structs.asdict(told))
        if not self._log.append(record):
            full = "no room in the decision log; send it again"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, full, headers={"Retry-After": "1"})
        return ACCEPTED


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


def _told(problem: Problem, headers: Mapping[str, str] = NOTHING) -> Reply:
    named = {"content-type": MEDIA_TYPE, **headers, **problem.headers}
    head = "".join(f"{name.lower()}: {value}\r\n" for name, value in named.items())
    return Reply(int(problem.status), head.encode(), problem.content())


BUSY = _told(Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many requests at once", headers={"Retry-After": "1"}))
