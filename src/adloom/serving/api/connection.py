"""
HTTP/1.1 connections: uvicorn's protocol with limits on size and time.

The application sees only complete requests. Bytes behind an unanswered request stay unparsed.
"""

import time
from http import HTTPStatus
from typing import Any, ClassVar, NamedTuple
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from adloom.serving.api.admission import BODY_LIMIT, Admission, check_head, check_length, read_headers
from adloom.serving.api.problems import Problem
from adloom.serving.decide.endpoint import ARRIVAL, problem_reply
from adloom.serving.decide.micro_batcher import CLOSED, Arrival, Headers, Reply
from adloom.serving.request_context import new_id

END = b"\r\n\r\n"
CLOSE = b"connection: close\r\n"
MAX_HEAD_BYTES = 32 * 1024  # with the trailers of a chunked body
MAX_HEADERS = 100
PIECE = 4096  # bytes parsed at once, and so the most that are parsed before they are counted
CHUNK_LINE = 16  # bytes of a chunk's size line that are not counted


class Timeouts(NamedTuple):
    """Time limits of a connection, in seconds."""

    head: float = 10.0  # from the start of the connection or request
    body: float = 10.0
    byte: float = 2.0**-20  # more for each byte of the body
    linger: float = 2.0  # after a refusal, for the client to read it


class Connection(HttpToolsProtocol):
    """A connection with limits."""

    timeouts: ClassVar[Timeouts] = Timeouts()

    def __init__(self, *args: Any, admission: Admission, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._admission = admission
        self._headers: Headers = {}
        self._body: bytes | bytearray | None = None  # received so far; None before the head is complete
        self._limit: int | None = None  # of the body in bytes, once it is admitted
        self._reserved = 0  # bytes of bodies
        self._is_between_requests = True  # of the parser
        self._size = self._uncounted = 0  # bytes of the head: in complete headers, and parsed since then
        self._unread = b""  # bytes behind an unanswered request
        self._deadline = 0.0  # of the client, by time.perf_counter
        self._unsent = 0  # bytes of answers that the client had not read at the last timeout
        self._refusal: Problem | None = None  # ends the connection
        self._is_stopping = False  # the request in progress is the last
        self._fd = CLOSED

    def connection_made(self, transport: Any) -> None:
        """Start the timer."""
        super().connection_made(transport)
        self._fd = transport.get_extra_info("socket").fileno()
        self._set_deadline(self.timeouts.head)
        self._set_timer(self.timeouts.head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the body."""
        super().connection_lost(exc)
        self._fd, self._unread, self._body = CLOSED, b"", None
        self._release()

    def fileno(self) -> int:
        """Return the file descriptor of the socket, or CLOSED."""
        return CLOSED if self.transport.is_closing() else self._fd

    def evict(self) -> None:
        """Refuse the incomplete body."""
        self._refuse(_no_room())

    def data_received(self, data: bytes) -> None:
        """Handle data of the client."""
        if self._refusal or self.transport.is_closing():
            return
        if self._unread or not self._can_answer():
            self._unread += data
            self.flow.pause_reading()
        else:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        try:
            for start in range(0, len(data), PIECE):
                if self.transport.is_closing():
                    return
                if not self._can_answer() and self._is_between_requests:
                    self._unread = data[start:]
                    self.flow.pause_reading()
                    return
                self._parse(data[start : start + PIECE])
            if self._body is not None and self._limit is None:
                self._admit(self._body)
        except Problem as problem:
            self._refuse(problem)
        except httptools.HttpParserError as error:
            cause = error.__context__
            not_http = Problem(HTTPStatus.BAD_REQUEST, f"not HTTP: {error}"[:200])
            self._refuse(cause if isinstance(cause, Problem) else not_http)

    def _parse(self, piece: bytes) -> None:
        self._uncounted += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(piece[upgrade.args[0] :])
        self._uncounted = max(self._uncounted, 0)
        if self._uncounted > MAX_HEAD_BYTES + PIECE:
            raise _too_long()

    def _decline_upgrade(self, rest: bytes) -> None:
        """Ignore an offer of another protocol: parse the head again without it, as the parser ended with it."""
        lines = [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
        first = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._parse(b"%b%b\r\n" % (first, b"".join(lines)))
        self._parse(rest)

    def on_message_begin(self) -> None:
        """Start a request."""
        super().on_message_begin()
        self._is_between_requests, self._limit = False, None
        self._size = self._uncounted = 0
        self._set_deadline(self.timeouts.head)

    def on_url(self, url: bytes) -> None:
        """Add a piece of the request target."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; ignore a trailer."""
        self._count(len(name) + len(value) + 4)
        if self._body is None:
            super().on_header(name, value.strip(b" \t"))
        if len(self.headers) > MAX_HEADERS:
            raise _too_long()

    def _count(self, size: int) -> None:
        self._size += size
        self._uncounted -= size
        if self._size > MAX_HEAD_BYTES:
            raise _too_long()

    def on_headers_complete(self) -> None:
        """Check the head. Raises Problem."""
        if self.parser.get_method() == b"CONNECT":
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, "CONNECT is not understood here")
        if self.parser.should_upgrade():
            return
        self._headers = read_headers(self.headers)
        check_head(self._headers, self.parser.get_http_version())
        self._body, self._uncounted = b"", 0
        self._set_deadline(self.timeouts.body)

    def _admit(self, body: bytes | bytearray) -> None:
        method = self.parser.get_method().decode()
        self._limit = self._admission.admit(method, self._path(), self._headers, len(body))
        self._admission.bodies.start(self)
        self._reserve(len(body))
        if self.expect_100_continue and self._is_answered():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_chunk_header(self) -> None:
        """Start a chunk."""
        self._uncounted -= CHUNK_LINE

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body."""
        if self._body is None or self._refusal:
            return
        self._uncounted -= len(body)
        if self._body:
            self._body = self._body if isinstance(self._body, bytearray) else bytearray(self._body)
            self._body += body
        else:
            self._body = body
        if self._limit is not None:
            self._deadline += len(body) * self.timeouts.byte
            check_length(len(self._body), self._limit)
            self._reserve(len(body))

    def on_message_complete(self) -> None:
        """Answer a complete request."""
        if self._body is None or self._refusal:
            return
        body, self._body, self._is_between_requests = bytes(self._body), None, True
        self._admission.bodies.finish(self)
        self._complete(body)

    def _complete(self, body: bytes) -> None:
        self._call(body, Arrival(time.perf_counter()))

    def _call(self, body: bytes, arrival: Arrival) -> None:
        self._flush()
        if self._limit is None:
            self._reserve(len(body))
        self.expect_100_continue = False
        self.scope["headers"] = list(self._headers.items())
        self.scope[ARRIVAL] = arrival  # type: ignore[literal-required]
        self.scope[BODY_LIMIT] = self._limit  # type: ignore[literal-required]
        super().on_headers_complete()
        self.cycle.body, self.cycle.more_body = body, False  # type: ignore[assignment]
        self.cycle.keep_alive &= not self._is_stopping
        self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Continue after an answer of the application."""
        super().on_response_complete()
        self._set_deadline(self.timeout_keep_alive)
        if not self._is_answered():
            self._set_timer(self.timeout_keep_alive)  # uvicorn sets it only when no request is left
            return
        self._release()
        if self._refusal:
            self._send_refusal()
        elif self._unread:
            self.loop.call_soon(self._resume)

    def _resume(self) -> None:
        data, self._unread = self._unread, b""
        self.data_received(data)

    def resume_writing(self) -> None:
        """Continue after the client read its answers."""
        super().resume_writing()
        if self._unread:
            self.flow.resume_reading()
            self.loop.call_soon(self._resume)

    def _refuse(self, problem: Problem) -> None:
        """Answer the requests so far, send the problem, and close the connection."""
        self._flush()
        self._admission.bodies.finish(self)
        self._refusal, self._body = problem, None
        if self._is_answered():
            self._release()
            self._send_refusal()

    def _send_refusal(self) -> None:
        assert self._refusal is not None
        if self.transport.is_closing():
            return
        self._admission.count(self._path(), int(self._refusal.status), 0.0)
        reply = problem_reply(self._refusal, {"x-request-id": new_id()})
        self.transport.write(self._format(reply, keep_alive=False))
        self.transport.write_eof()
        self._set_deadline(self.timeouts.linger)
        self._unset_keepalive_if_required()
        self._set_timer(self.timeouts.linger)

    def shutdown(self) -> None:
        """Close the connection, after the answer to a request with a complete head."""
        self._flush()
        if self._body is None:
            super().shutdown()
        self._is_stopping = True

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if its deadline has passed."""
        if self.transport.is_closing():
            return
        unsent = self.transport.get_write_buffer_size()
        stuck, self._unsent = 0 < unsent == self._unsent, unsent
        refused = self._refusal is not None and self._is_answered()
        if not stuck and not refused and (unsent or not self._is_answered()):
            self._set_deadline(self.timeout_keep_alive)
        left = self._deadline - time.perf_counter()
        if left > 0 and not stuck:
            self._set_timer(left)
        elif stuck or refused:
            self.transport.abort()
        elif self._is_between_requests:
            self.transport.close()
        else:
            part = "head" if self._body is None else "body"
            self._refuse(Problem(HTTPStatus.REQUEST_TIMEOUT, f"the {part} took too long"))

    def _set_deadline(self, seconds: float) -> None:
        self._deadline = time.perf_counter() + seconds

    def _set_timer(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _reserve(self, size: int) -> None:
        if not self._admission.bodies.reserve(self, size):
            raise _no_room()
        self._reserved += size

    def _release(self) -> None:
        self._admission.bodies.finish(self)
        self._admission.bodies.release(self._reserved)
        self._reserved = 0

    def _flush(self) -> None:
        """Send queued answers before anything else is sent."""

    def _is_answered(self) -> bool:
        """Return whether no request is in progress in the application."""
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def _can_answer(self) -> bool:
        return self._is_answered() and not self.flow.write_paused

    def _path(self) -> str:
        try:
            return unquote((httptools.parse_url(self.url).path or b"").decode("latin-1"))
        except (AttributeError, httptools.HttpParserError):  # no request yet, or an invalid target
            return ""

    def _format(self, reply: Reply, keep_alive: bool) -> bytes:
        pieces = [STATUS_LINE[reply.status]]
        for name, value in self.server_state.default_headers:
            pieces += (name, b": ", value, b"\r\n")
        if not keep_alive and CLOSE not in reply.head:
            pieces.append(CLOSE)
        pieces += (reply.head, b"content-length: %d" % len(reply.body), END, reply.body)
        return b"".join(pieces)


def _too_long() -> Problem:
    detail = f"the head, or what goes with a chunked body, is over {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers"
    return Problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)


def _no_room() -> Problem:
    retry = {"Retry-After": "1"}
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many bytes of bodies at once", headers=retry)
