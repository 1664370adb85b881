"""
Admission: what a request must be before its body is taken, in one way for every path and however it comes.

Headers are read here, once. A connection asks `admit` as soon as a head is complete, so that a stranger's body is never
held, and asks `bodies` for room as the body comes. Only complete requests go further, so only they count as load.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Set
from http import HTTPStatus
from typing import Protocol

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import Endpoint
from adloom.serving.metrics import RequestMetrics

ADMITTED = "adloom.admitted"  # key of the scope: how long the body may be, where that was asked already
GONE = 499  # status of a request whose client went away before an answer, in nginx's numbering
PAGES = {"/v1/models", "/livez", "/readyz", "/metrics", "/openapi.json"}
PAGE_BYTES = 1024  # of a body that no endpoint asks for
BODY_BYTES = 64 * 2**20  # of all bodies in one process that are being sent or answered
HOST = re.compile(rb"[\w.:\[\]%~!$&'()*+,;=-]*")
SINGLE = {
    b"authorization",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"host",
    b"transfer-encoding",
}

Headers = Mapping[bytes, bytes]
Authorize = Callable[[bytes | None, Endpoint], None]  # raises Problem for a header that may not ask this


def read_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by name, repeated ones as one list. Raise Problem when one is repeated that must not be."""
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name in headers and name in SINGLE:
            raise Problem(HTTPStatus.BAD_REQUEST, f"{name.decode()}: sent more than once; send it once")
        headers[name] = b"%b, %b" % (headers[name], value) if name in headers else value
    return headers


def check_head(headers: Headers, version: str) -> None:
    """Raise Problem for what HTTP forbids and the parser lets pass (RFC 9112)."""
    if version not in ("1.0", "1.1"):
        raise Problem(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "expected HTTP/1.1")
    host = headers.get(b"host")
    if (host is None and version == "1.1") or not HOST.fullmatch(host or b""):
        raise Problem(HTTPStatus.BAD_REQUEST, "host: expected one name")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and version == "1.0":
        raise Problem(HTTPStatus.BAD_REQUEST, "transfer-encoding: not in HTTP/1.0")
    if coding is not None and coding.lower() != b"chunked":
        raise Problem(HTTPStatus.NOT_IMPLEMENTED, "transfer-encoding: expected chunked")


async def read_body(receive: Receive, limit: int) -> bytes:
    """Return a body. Raise Problem when it is too long, ClientDisconnect when its sender goes away."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        more = message.get("more_body", False)
    return body


def too_large(limit: int) -> Problem:
    """Say that a body is too long."""
    close = {"Connection": "close"}
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {limit} bytes", headers=close)


class Sender(Protocol):
    """A connection that sends a body."""

    def give_way(self) -> None:
        """Stop, and release what it holds."""


class Bodies:
    """The bytes of all bodies that are being sent or answered, and the connections that still send theirs."""

    def __init__(self, room: int = BODY_BYTES) -> None:
        self.held, self._room = 0, room
        self._sending: dict[Sender, None] = {}  # the oldest first

    def begin(self, sender: Sender) -> None:
        """Note that a body is being sent."""
        self._sending[sender] = None

    def end(self, sender: Sender) -> None:
        """Note that it is complete, or never will be."""
        self._sending.pop(sender, None)

    def hold(self, sender: Sender, size: int) -> bool:
        """Hold more bytes of a body and return True, where there is room; the oldest incomplete bodies give way."""
        while self.held + size > self._room:
            oldest = next((other for other in self._sending if other is not sender), None)
            if oldest is None:
                return False
            oldest.give_way()
        self.held += size
        return True

    def release(self, size: int) -> None:
        """Hold so many bytes less."""
        self.held -= size


def _anyone(authorization: bytes | None, endpoint: Endpoint) -> None:
    """Let anybody ask anything."""


class Admission:
    """What one application admits, and what it counts."""

    def __init__(
        self,
        meter: RequestMetrics,
        endpoints: Mapping[str, Endpoint],
        pages: Set[str] = PAGES,
        authorize: Authorize = _anyone,
    ) -> None:
        self.meter, self.endpoints, self.paths = meter, endpoints, endpoints.keys() | pages
        self.bodies = Bodies()
        self._authorize = authorize

    def admit(self, method: str, path: str, headers: Headers) -> int:
        """Return how many bytes a request's body may have. Raise Problem when it may not be answered."""
        endpoint = self.endpoints.get(path)
        if endpoint is not None:
            if method != "POST":
                allow = {"Allow": "POST"}
                raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not understood here", headers=allow)
            self._authorize(headers.get(b"authorization"), endpoint)
            if endpoint.asked is not None:
                _check_content(headers)
        limit = endpoint.max_bytes if endpoint is not None else PAGE_BYTES
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or int(announced[:20]) > limit:
            raise too_large(limit)
        return limit

    def count(self, path: str, status: int, seconds: float) -> None:
        """Count a request; strangers cannot grow the metrics."""
        self.meter.record(path if path in self.paths else "other", status, seconds)


def _check_content(headers: Headers) -> None:
    """Raise Problem for a body that is not JSON, as it is."""
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json" and kind.partition(b";")[0].strip().lower() != b"application/json":
        given = kind[:80].decode("latin-1") or "absent"
        expected = f"Content-Type is {given}, expected application/json (curl --json)"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, expected)
    if headers.get(b"content-encoding", b"identity") != b"identity":
        plain = "Content-Encoding is not understood; send the body as it is"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, plain)
