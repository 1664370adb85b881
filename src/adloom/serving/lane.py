"""
The lane: what asks for an answer within milliseconds passes nothing else. A plain ASGI function in front of the
application reads, admits, checks, answers and counts; every other path goes on to the application.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Set
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adloom.decisions.record import Feedback
from adloom.serving import messages, traces
from adloom.serving.arrivals import ARRIVED, Line
from adloom.serving.auth import Access, Auth, Open
from adloom.serving.decider import Decider, Log, encode
from adloom.serving.messages import DECIDE, FEEDBACK, MAX_BYTES, DecideRequest, FeedbackAnswer, FeedbackRequest
from adloom.serving.metrics import DecisionMeter, Meter
from adloom.serving.problems import MEDIA_TYPE, Problem

SLOW = 10  # seconds in which a body must have come
GONE = 499  # the client went away before an answer, in nginx's numbering
JSON = (b"content-type", b"application/json")
ACCEPTED = encode(FeedbackAnswer())

logger = logging.getLogger(__name__)

Headers = Mapping[bytes, bytes]


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
        self._meter, self._decisions, self._line = counters
        self._request = msgspec.json.Decoder(DecideRequest).decode
        self._feedback = msgspec.json.Decoder(FeedbackRequest).decode
        fast = {DECIDE: Fast("decide", self._decide), FEEDBACK: Fast("feedback", self._take)}
        self._paths = {path: fast[path] for path in fast if path in paths}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        fast = self._paths.get(scope.get("path", "")) if scope["type"] == "http" else None
        if fast is None:
            self._line.passes()
            await self._app(scope, receive, send)
            return
        arrived = scope.get(ARRIVED) or time.perf_counter()
        headers = dict(scope["headers"])
        trace = traces.of(headers)
        sent = [JSON, (b"x-request-id", trace.request_id.encode())]
        try:
            status, body = 200, fast.answer(await self._admitted(scope, headers, receive, fast.access), arrived)
        except Problem as problem:
            status, body = _told(problem, sent)
        except ConnectionError:
            status, body = GONE, b""
        except Exception:
            traces.current.set(trace)
            logger.exception("%s %s", scope["method"], scope["path"])
            status, body = _told(_failed(), sent)
        now = time.perf_counter()
        self._line.ends(now)
        self._meter.record(scope["path"], status, now - arrived)
        if status == GONE:
            return
        sent.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": body})

    async def _admitted(self, scope: Scope, headers: Headers, receive: Receive, access: Access) -> bytes:
        """Return the body of a request that may be answered. Raises Problem for any other."""
        if not self._line.begins():
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many requests in line", headers={"Retry-After": "1"})
        if scope["method"] != "POST":
            raise Problem(
                HTTPStatus.METHOD_NOT_ALLOWED, f"{scope['method']} is not understood here", headers={"Allow": "POST"}
            )
        self._auth.admit(headers.get(b"authorization"), access)
        _check(headers)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            body = await self._rest(body, receive)
        if len(body) > MAX_BYTES:
            raise _too_large()
        return body

    async def _rest(self, begun: bytes, receive: Receive) -> bytes:
        """Return a body that comes in pieces. Raises Problem when it is too long or too late."""
        body = bytearray(begun)
        try:
            async with asyncio.timeout(SLOW):
                while len(body) <= MAX_BYTES:
                    message: Message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionError
                    body += message.get("body", b"")
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            close = {"Connection": "close"}
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, f"the body took over {SLOW} s", headers=close) from None
        raise _too_large()

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

    def __init__(self, app: ASGIApp, begin: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]]) -> None:
        self._app, self._begin, self._end = app, begin, end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._begin()
            if message["type"] == "lifespan.shutdown.complete":
                await self._end()
            await send(message)

        await self._app(scope, receive, told)


def _check(headers: Headers) -> None:
    """Raise Problem for a body that is not JSON, or is announced as too long."""
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
        said = kind[:80].decode("latin-1") or "absent"
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type is {said}, expected application/json (curl --json)"
        )
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is not understood; send the body as it is")
    announced = headers.get(b"content-length", b"0")
    if not announced.isdigit() or int(announced[:20]) > MAX_BYTES:
        raise _too_large()


def _too_large() -> Problem:
    close = {"Connection": "close"}
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {MAX_BYTES} bytes", headers=close)


def _failed() -> Problem:
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something failed here; the service's log says what")


def _told(problem: Problem, headers: list[Any]) -> tuple[int, bytes]:
    """Return status and body of a problem, and set its headers."""
    headers[0] = (b"content-type", MEDIA_TYPE.encode())
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    return int(problem.status), problem.content()
