"""Admission: check a request's head before its body is read, and limit the memory of bodies."""

import re
from collections.abc import Callable, Iterable, Mapping, Set
from http import HTTPStatus
from typing import Protocol

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from adloom.serving.api.endpoints import Endpoint
from adloom.serving.api.problems import Problem
from adloom.serving.metrics import RequestMetrics

BODY_LIMIT = "adloom.body_limit"  # key of the scope: the limit of a request that is admitted already
CLIENT_CLOSED = 499  # nginx's status of a request whose client closed the connection before the answer
PAGES = {"/v1/models", "/livez", "/readyz", "/metrics", "/openapi.json"}
MAX_PAGE_BYTES = 1024  # of a body that a page ignores
MAX_BODIES_BYTES = 64 * 2**20  # of all bodies of a process that are being received or answered
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
Authorize = Callable[[bytes | None, Endpoint], None]  # (Authorization header, endpoint); raises Problem


def read_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by name. Raises Problem when one of SINGLE is repeated."""
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name in headers and name in SINGLE:
            raise Problem(HTTPStatus.BAD_REQUEST, f"{name.decode()}: sent more than once; send it once")
        headers[name] = b"%b, %b" % (headers[name], value) if name in headers else value
    return headers


def check_head(headers: Headers, version: str) -> None:
    """Raise Problem for violations of RFC 9112 that the parser accepts."""
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


def check_length(length: int, limit: int) -> None:
    """Raise Problem (413) for a body over the limit."""
    if length > limit:
        close = {"Connection": "close"}
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {limit} bytes", headers=close)


class Receiver(Protocol):
    """A connection that receives a body."""

    def evict(self) -> None:
        """Refuse the body and release its memory."""


class Bodies:
    """The memory of bodies being received or answered."""

    def __init__(self, limit: int = MAX_BODIES_BYTES) -> None:
        self.reserved, self._limit = 0, limit
        self._receiving: dict[Receiver, None] = {}  # in order of start

    def start(self, receiver: Receiver) -> None:
        """Add a connection."""
        self._receiving[receiver] = None

    def finish(self, receiver: Receiver) -> None:
        """Remove a connection."""
        self._receiving.pop(receiver, None)

    def reserve(self, receiver: Receiver, size: int) -> bool:
        """Reserve memory, evicting the oldest incomplete bodies; return whether it fits."""
        while self.reserved + size > self._limit:
            oldest = next((other for other in self._receiving if other is not receiver), None)
            if oldest is None:
                return False
            oldest.evict()
        self.reserved += size
        return True

    def release(self, size: int) -> None:
        """Free memory."""
        self.reserved -= size


def _allow_all(authorization: bytes | None, endpoint: Endpoint) -> None:
    """Accept every request."""


class Admission:
    """The admission of one application."""

    def __init__(
        self,
        metrics: RequestMetrics,
        endpoints: Mapping[str, Endpoint],
        pages: Set[str] = PAGES,
        authorize: Authorize = _allow_all,
    ) -> None:
        self.metrics, self.endpoints, self.paths = metrics, endpoints, endpoints.keys() | pages
        self.bodies = Bodies()
        self._authorize = authorize

    def admit(self, method: str, path: str, headers: Headers, length: int = 0) -> int:
        """Return the limit of a request's body, or raise Problem; `length` bytes have arrived."""
        endpoint = self.endpoints.get(path)
        if endpoint is not None:
            if method != "POST":
                allow = {"Allow": "POST"}
                raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not understood here", headers=allow)
            self._authorize(headers.get(b"authorization"), endpoint)
            if endpoint.request is not None:
                _check_content(headers)
        limit = endpoint.max_bytes if endpoint is not None else MAX_PAGE_BYTES
        announced = headers.get(b"content-length", b"0")
        check_length(int(announced[:20]) if announced.isdigit() else limit + 1, limit)
        check_length(length, limit)
        return limit

    async def read_body(self, scope: Scope, headers: Headers, receive: Receive) -> bytes:
        """Return a request's body. Raises Problem or ClientDisconnect."""
        limit = scope.get(BODY_LIMIT) or self.admit(scope["method"], scope["path"], headers)
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            check_length(len(body), limit)
            more = message.get("more_body", False)
        return body

    def count(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.metrics.record(path if path in self.paths else "other", status, seconds)


def _check_content(headers: Headers) -> None:
    media_type = headers.get(b"content-type", b"")
    if media_type != b"application/json" and media_type.partition(b";")[0].strip().lower() != b"application/json":
        actual = media_type[:80].decode("latin-1") or "absent"
        detail = f"Content-Type is {actual}, expected application/json (curl --json)"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
    if headers.get(b"content-encoding", b"identity") != b"identity":
        detail = "Content-Encoding is not supported; send the body uncompressed"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
