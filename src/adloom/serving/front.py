"""
The front: what every request passes before any handler, the same for the decide app and for BentoML.

It counts and times, refuses what is too much (413, 429) or not JSON (415), checks the body against the endpoint's one
schema (400, 422), and turns any error that is not yet problem+json into it.
"""

import logging
import time
from collections.abc import Callable, Mapping, Set
from http import HTTPStatus

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adloom.serving import problems, traces
from adloom.serving.metrics import Meter
from adloom.serving.problems import Problem
from adloom.serving.schemas import Body, Endpoint

ASKED = "adloom.asked"  # key of the scope under which a handler finds the checked request
BUSY = 64  # requests in flight above which the next one is sent away
PAGES = {"/v1/models", "/livez", "/readyz", "/metrics", "/openapi.json"}

logger = logging.getLogger(__name__)


class Front:
    """
    ASGI middleware around an application that answers these endpoints, by path, and pages.

    `first` answers what it has a route for before the application sees it. `admit` raises Problem for whoever may not
    ask an endpoint, before the body is read.
    """

    def __init__(
        self,
        app: ASGIApp,
        meter: Meter,
        endpoints: Mapping[str, Endpoint],
        first: Starlette | None = None,
        pages: Set[str] = PAGES,
        admit: Callable[[Headers, Endpoint], None] = lambda *_: None,
    ) -> None:
        self._app = app
        self._meter = meter
        self._endpoints = endpoints
        self._first = first
        self._paths = endpoints.keys() | pages
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = traces.of(dict(scope["headers"]))
        traces.current.set(trace)
        reply = _Reply(scope, send, self._paths, trace.request_id)
        start = time.perf_counter()
        asked = scope["path"] in self._endpoints  # a probe is no load
        self._meter.busy += asked
        try:
            await self._answer(scope, receive, reply)
        except ClientDisconnect:
            return
        finally:
            self._meter.busy -= asked
            path = scope["path"] if scope["path"] in self._paths else "other"  # strangers cannot grow the metrics
            self._meter.record(path, reply.status, time.perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, reply: "_Reply") -> None:
        try:
            if endpoint := self._endpoints.get(scope["path"]):
                receive = await self._admitted(scope, receive, endpoint)
            await self._chosen(scope)(scope, receive, reply)
        except Problem as problem:
            await problem.response()(scope, receive, reply)
        except ClientDisconnect:
            raise
        except Exception:
            logger.exception("%s %s", scope["method"], scope["path"])
            if reply.replaced:
                return
            if reply.started:
                raise
            await _failed().response()(scope, receive, reply)

    async def _admitted(self, scope: Scope, receive: Receive, endpoint: Endpoint) -> Receive:
        self._admit(Headers(scope=scope), endpoint)
        if self._meter.busy > BUSY:
            busy = f"{BUSY} requests in flight"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, busy, headers={"Retry-After": "1"})
        if scope["method"] != "POST" or endpoint.asked is None:
            return receive
        assert issubclass(endpoint.asked, Body)  # the others are answered by the lane
        return await _checked(scope, receive, endpoint.asked, endpoint.max_bytes)

    def _chosen(self, scope: Scope) -> ASGIApp:
        routes = self._first.routes if self._first else []
        known = any(route.matches(scope)[0] != Match.NONE for route in routes)
        return self._first if self._first and known else self._app


async def _checked(scope: Scope, receive: Receive, asked: type[Body], limit: int) -> Receive:
    """Read and check the body, put what was asked into the scope, and return a `receive` that gives the body again."""
    headers = Headers(scope=scope)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type is {headers.get('content-type', 'absent')[:80]}, expected application/json (curl --json)",
        )
    if headers.get("content-encoding", "identity") != "identity":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is not understood; send the body as it is")
    body = await _body(scope, receive, headers, limit)
    try:
        scope[ASKED] = asked.model_validate_json(body)
    except ValidationError as error:
        raise problems.from_validation(error) from None
    return _again(body, receive)


async def _body(scope: Scope, receive: Receive, headers: Headers, limit: int) -> bytes:
    too_large = Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {limit} bytes", headers={"Connection": "close"}
    )
    announced = headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced[:20]) > limit:
        raise too_large
    body = bytearray()
    async for chunk in Request(scope, receive).stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _failed(status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR) -> Problem:
    return Problem(status, "something failed here; the service's log says what")


class _Reply:
    """A `send` that remembers the status and replaces the body of an error that is not a problem yet."""

    def __init__(self, scope: Scope, send: Send, paths: Set[str], request_id: str) -> None:
        self.status = 499  # the client went away before an answer, in nginx's numbering
        self.started = False
        self._scope = scope
        self._send = send
        self._paths = paths
        self._named = (b"x-request-id", request_id.encode())
        self.replaced = False

    async def __call__(self, message: Message) -> None:
        """Send a message on."""
        if message["type"] != "http.response.start":
            if not self.replaced:
                await self._send(message)
            return
        self.status, self.started = message["status"], True
        message["headers"] = [*message["headers"], self._named]
        headers = Headers(raw=message["headers"])
        if self.status < HTTPStatus.BAD_REQUEST or headers.get("content-type") == problems.MEDIA_TYPE:
            await self._send(message)
            return
        self.replaced = True
        allow = {"Allow": headers["allow"]} if "allow" in headers else {}
        problem = _standard(self._scope, HTTPStatus(self.status), allow, self._paths)
        response = problem.response()
        response.raw_headers.append(self._named)
        await response(self._scope, _nothing, self._send)


def _standard(scope: Scope, status: HTTPStatus, headers: dict[str, str], paths: Set[str]) -> Problem:
    if status == HTTPStatus.NOT_FOUND:
        return Problem(status, f"no such path; known: {', '.join(sorted(paths))}", headers=headers)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return Problem(status, f"{scope['method']} is not understood here", headers=headers)
    return (
        _failed()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR
        else Problem(status, status.description, headers=headers)
    )


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
