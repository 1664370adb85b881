"""Middleware of the endpoints that are not latency-critical: metrics, admission, load, validation, problems."""

import asyncio
import logging
import time
from collections import Counter
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
from adloom.serving.api.admission import CLIENT_CLOSED, Admission, read_headers
from adloom.serving.api.endpoints import Endpoint
from adloom.serving.api.problems import INTERNAL_ERROR, Problem
from adloom.serving.api.schemas import Body

NO_APPS: Mapping[str, ASGIApp] = {}
MAX_IN_FLIGHT = 128  # requests to one path; more are refused
PLACEHOLDER = b"{}"  # replaces the body, which handlers read from `current_request`

current_request: ContextVar[Any] = ContextVar("current_request")  # validated
current_actor: ContextVar[str] = ContextVar("current_actor")  # the name of the request's token
logger = logging.getLogger(__name__)


class ApiMiddleware:
    """ASGI middleware; the applications of `first` answer their paths instead of the one behind it."""

    def __init__(self, app: ASGIApp, admission: Admission, first: Mapping[str, ASGIApp] = NO_APPS) -> None:
        self._app, self.admission, self._first = app, admission, first
        self._in_flight: Counter[str] = Counter()  # by path; one model's queue must not fill those of others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = request_context.read_trace(dict(scope["headers"]))
        request_context.current.set(trace)
        reply = _Reply(scope, send, self.admission.paths, trace.request_id)
        start = time.perf_counter()
        is_load = scope["path"] in self.admission.endpoints  # pages are not
        if is_load:
            self._count_in_flight(scope["path"], 1)
        try:
            await self._answer(scope, receive, reply)
        except ClientDisconnect:  # outer middleware waits for a response
            await reply.abort()
        finally:
            if is_load:
                self._count_in_flight(scope["path"], -1)
            self.admission.count(scope["path"], reply.status, time.perf_counter() - start)

    def _count_in_flight(self, path: str, change: int) -> None:
        self._in_flight[path] += change
        self.admission.metrics.in_flight += change

    async def _answer(self, scope: Scope, receive: Receive, reply: "_Reply") -> None:
        try:
            app = self._first.get(scope["path"], self._app)
            endpoint = self.admission.endpoints.get(scope["path"])
            if endpoint is None:
                await app(scope, receive, reply)
            else:
                await _run_while_connected(app, scope, await self._validate(scope, receive, endpoint), reply)
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
            await INTERNAL_ERROR.response()(scope, receive, reply)

    async def _validate(self, scope: Scope, receive: Receive, endpoint: Endpoint) -> Receive:
        body = await self.admission.read_body(scope, read_headers(scope["headers"]), receive)
        if self._in_flight[scope["path"]] > MAX_IN_FLIGHT:
            detail = f"{MAX_IN_FLIGHT} requests to {scope['path']} in flight"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": "1"})
        if endpoint.request is not None:
            assert issubclass(endpoint.request, Body)  # the decision endpoint handles the others
            try:
                current_request.set(endpoint.request.model_validate_json(body))
            except ValidationError as error:
                raise problems.from_validation(error) from None
        return _replay(receive)


async def _run_while_connected(app: ASGIApp, scope: Scope, receive: Receive, reply: "_Reply") -> None:
    with anyio.CancelScope() as answering:
        watcher = asyncio.create_task(_cancel_on_disconnect(receive, reply, answering))
        try:
            await app(scope, receive, reply)
        finally:
            watcher.cancel()
    if answering.cancelled_caught:
        raise ClientDisconnect


async def _cancel_on_disconnect(receive: Receive, reply: "_Reply", answering: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if not reply.complete:
        answering.cancel()


def _replay(receive: Receive) -> Receive:
    """Return a `receive` that starts with a placeholder for the body that was read."""
    is_replayed = False

    async def receive_again() -> Message:
        nonlocal is_replayed
        if is_replayed:
            return await receive()
        is_replayed = True
        return {"type": "http.request", "body": PLACEHOLDER, "more_body": False}

    return receive_again


class _Reply:
    """A `send` that turns error responses into problems."""

    def __init__(self, scope: Scope, send: Send, paths: Set[str], request_id: str) -> None:
        self.status = CLIENT_CLOSED
        self.started = self.complete = False
        self._scope = scope
        self._send = send
        self._paths = paths
        self._id_header = (b"x-request-id", request_id.encode())
        self.replaced = False

    async def abort(self) -> None:
        """End the response without content."""
        self.status = CLIENT_CLOSED
        if not self.started:
            await self._send({"type": "http.response.start", "status": CLIENT_CLOSED, "headers": []})
        await self._send({"type": "http.response.body", "body": b""})

    async def __call__(self, message: Message) -> None:
        """Send a message."""
        if message["type"] != "http.response.start":
            self.complete = not message.get("more_body", False)
            if not self.replaced:
                await self._send(message)
            return
        self.status, self.started = message["status"], True
        message["headers"] = [*message["headers"], self._id_header]
        headers = Headers(raw=message["headers"])
        if self.status < HTTPStatus.BAD_REQUEST or headers.get("content-type") == problems.MEDIA_TYPE:
            await self._send(message)
            return
        self.replaced = True
        allow = {"Allow": headers["allow"]} if "allow" in headers else {}
        problem = _describe_status(self._scope, HTTPStatus(self.status), allow, self._paths)
        response = problem.response()
        response.raw_headers.append(self._id_header)
        await response(self._scope, _disconnect, self._send)


def _describe_status(scope: Scope, status: HTTPStatus, headers: dict[str, str], paths: Set[str]) -> Problem:
    if status == HTTPStatus.NOT_FOUND:
        return Problem(status, f"no such path; known: {', '.join(sorted(paths))}", headers=headers)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return Problem(status, f"{scope['method']} is not understood here", headers=headers)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return INTERNAL_ERROR
    return Problem(status, status.description, headers=headers)


async def _disconnect() -> Message:
    return {"type": "http.disconnect"}
