"""
The front: what every request passes before any handler, the same for the decide app and for BentoML.

It counts and times, asks admission (401, 413, 415), refuses what is too much (429), checks the body against the
endpoint's one schema (400, 422), and turns any error that is not yet problem+json into it. A request whose client goes
away while it waits is dropped.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Set
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

import anyio
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adloom.serving import request_context
from adloom.serving.api import problems
from adloom.serving.api.admission import ADMITTED, GONE, Admission, read_body, read_headers
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import Body, Endpoint

BUSY = 64  # requests in flight above which the next one is sent away
NOTHING: Mapping[str, ASGIApp] = {}
PARSED = b"{}"  # what an application is given for a body: it finds the checked request in `asked`

current_request: ContextVar[Any] = ContextVar("asked")  # the checked request that is being answered
logger = logging.getLogger(__name__)


class ApiMiddleware:
    """
    ASGI middleware around an application that answers the endpoints and pages of an admission.

    `first` has applications by path, which answer instead of the one behind the middleware.
    """

    def __init__(self, app: ASGIApp, admission: Admission, first: Mapping[str, ASGIApp] = NOTHING) -> None:
        self._app, self.admission, self._first = app, admission, first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = request_context.of(dict(scope["headers"]))
        request_context.current.set(trace)
        reply = _Reply(scope, send, self.admission.paths, trace.request_id)
        start = time.perf_counter()
        load = scope["path"] in self.admission.endpoints  # a probe is none
        self.admission.meter.busy += load
        try:
            await self._answer(scope, receive, reply)
        except ClientDisconnect:  # nobody reads it, but what is around this waits for an answer
            await reply.give_up()
        finally:
            self.admission.meter.busy -= load
            self.admission.count(scope["path"], reply.status, time.perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, reply: "_Reply") -> None:
        try:
            app = self._first.get(scope["path"], self._app)
            endpoint = self.admission.endpoints.get(scope["path"])
            if endpoint is None:
                await app(scope, receive, reply)
            else:
                await _while_connected(app, scope, await self._admitted(scope, receive, endpoint), reply)
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
        headers = read_headers(scope["headers"])
        limit = scope.get(ADMITTED) or self.admission.admit(scope["method"], scope["path"], headers)
        if self.admission.meter.busy > BUSY:
            busy = f"{BUSY} requests in flight"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, busy, headers={"Retry-After": "1"})
        body = await read_body(receive, limit)
        if endpoint.asked is not None:
            assert issubclass(endpoint.asked, Body)  # the others are answered by the lane
            current_request.set(_checked(body, endpoint.asked))
        return _replay(receive)


async def _while_connected(app: ASGIApp, scope: Scope, receive: Receive, reply: "_Reply") -> None:
    """Answer a request. Raise ClientDisconnect when its client goes away before that."""
    with anyio.CancelScope() as answering:
        leaving = asyncio.create_task(_cancel_when_gone(receive, reply, answering))
        try:
            await app(scope, receive, reply)
        finally:
            leaving.cancel()
    if answering.cancelled_caught:
        raise ClientDisconnect


async def _cancel_when_gone(receive: Receive, reply: "_Reply", answering: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if not reply.complete:
        answering.cancel()


def _checked(body: bytes, schema: type[Body]) -> Body:
    """Parse a body. Raise Problem when it is not what the schema says."""
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        raise problems.from_validation(error) from None


def _replay(receive: Receive) -> Receive:
    """Return a `receive` for an application behind the one that read the body."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": PARSED, "more_body": False}

    return receive_again


def _failed(status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR) -> Problem:
    return Problem(status, "something failed here; the service's log says what")


class _Reply:
    """A `send` that remembers the status and replaces the body of an error that is not a problem yet."""

    def __init__(self, scope: Scope, send: Send, paths: Set[str], request_id: str) -> None:
        self.status = GONE
        self.started = self.complete = False
        self._scope = scope
        self._send = send
        self._paths = paths
        self._named = (b"x-request-id", request_id.encode())
        self.replaced = False

    async def give_up(self) -> None:
        """End without an answer."""
        self.status = GONE
        if not self.started:
            await self._send({"type": "http.response.start", "status": GONE, "headers": []})
        await self._send({"type": "http.response.body", "body": b""})

    async def __call__(self, message: Message) -> None:
        """Send a message on."""
        if message["type"] != "http.response.start":
            self.complete = not message.get("more_body", False)
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
