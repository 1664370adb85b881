"""
A connection over HTTP/1.1: uvicorn's protocol with limits.

Bytes are counted before they are parsed; a head, a body and a pause have their time; an application sees a request only
when it is complete. What follows a request waits, unparsed, until that one is answered.
"""

import time
from http import HTTPStatus
from typing import Any, ClassVar, NamedTuple
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from adloom.serving.api.admission import ADMITTED, Admission, check_head, read_headers, too_large
from adloom.serving.api.problems import Problem
from adloom.serving.decide.endpoint import ARRIVED, problem_reply
from adloom.serving.decide.micro_batcher import CLOSED, Arrival, Headers, Reply
from adloom.serving.request_context import new_id

END = b"\r\n\r\n"
CLOSE = b"connection: close\r\n"
HEAD_BYTES = 32 * 1024  # of a head, and of a chunked body's trailers with it
MAX_HEADERS = 100
PIECE = 4096  # bytes that the parser is given at once: the most that goes uncounted
CHUNK_LINE = 16  # bytes of a chunk besides its content that are not counted


class Timeouts(NamedTuple):
    """What a connection has time for, in seconds."""

    head: float = 10.0  # also for its first byte
    body: float = 10.0
    byte: float = 2.0**-20  # more for each of a body
    linger: float = 2.0  # after a refusal, so that it can be read


class Connection(HttpToolsProtocol):
    """A connection."""

    timeouts: ClassVar[Timeouts] = Timeouts()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._admission: Admission = getattr(self.app, "admission")  # noqa: B009 - an application's type has none
        self._headers: Headers = {}
        self._body: bytes | bytearray | None = None  # the part that is here, once the head is complete
        self._limit: int | None = None  # bytes of the body, once it is admitted
        self._held_bytes = 0  # bytes of bodies
        self._whole = True  # the parser is between two requests
        self._size = self._uncounted = 0  # bytes of the head: of complete headers, and given to the parser since then
        self._unread = b""  # bytes behind a request that is not answered yet
        self._due = 0.0  # deadline of the other side, by time.perf_counter
        self._unsent = 0  # bytes of answers that the other side had not taken when it was last looked at
        self._refusal: Problem | None = None  # nothing is read after it
        self._last = False  # the service stops: the request that is being sent is the last
        self._fd = CLOSED

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        super().connection_made(transport)
        self._fd = transport.get_extra_info("socket").fileno()
        self._wait(self.timeouts.head)
        self._set_timer(self.timeouts.head)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._fd, self._unread, self._body = CLOSED, b"", None
        self._release()

    def fileno(self) -> int:
        """Return the number of the socket, CLOSED when it is closed on this side."""
        return CLOSED if self.transport.is_closing() else self._fd

    def give_way(self) -> None:
        """Give the room of a body that is not complete to others."""
        self._refuse(_full())

    def data_received(self, data: bytes) -> None:
        """Take what was read."""
        if self._refusal or self.transport.is_closing():
            return
        if self._unread or not self._is_free():
            self._unread += data
            self.flow.pause_reading()
        else:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        """Give the parser bytes, counted."""
        try:
            for start in range(0, len(data), PIECE):
                if self.transport.is_closing():
                    return
                if not self._is_free() and self._whole:
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
            said = Problem(HTTPStatus.BAD_REQUEST, f"not HTTP: {error}"[:200])
            self._refuse(cause if isinstance(cause, Problem) else said)

    def _parse(self, piece: bytes) -> None:
        self._uncounted += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(piece[upgrade.args[0] :])
        self._uncounted = max(self._uncounted, 0)
        if self._uncounted > HEAD_BYTES + PIECE:
            raise _too_long()

    def _decline_upgrade(self, rest: bytes) -> None:
        """Continue in HTTP/1.1: parse the head again, without its proposal of another protocol."""
        lines = [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
        first = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        self._parse(b"%b%b\r\n" % (first, b"".join(lines)))
        self._parse(rest)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._whole, self._limit = False, None
        self._size = self._uncounted = 0
        self._wait(self.timeouts.head)

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Trailers are counted and ignored."""
        self._count(len(name) + len(value) + 4)
        if self._body is None:
            super().on_header(name, value.strip(b" \t"))
        if len(self.headers) > MAX_HEADERS:
            raise _too_long()

    def _count(self, size: int) -> None:
        self._size += size
        self._uncounted -= size
        if self._size > HEAD_BYTES:
            raise _too_long()

    def on_headers_complete(self) -> None:
        """Read the head of a request. Raise Problem for one that is not HTTP/1.0 or 1.1."""
        if self.parser.get_method() == b"CONNECT":
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, "CONNECT is not understood here")
        if self.parser.should_upgrade():
            return
        self._headers = read_headers(self.headers)
        check_head(self._headers, self.parser.get_http_version())
        self._body, self._uncounted = b"", 0
        self._wait(self.timeouts.body)

    def _admit(self, body: bytes | bytearray) -> None:
        """Ask for admission before the rest of a body comes. Raise Problem when it is refused."""
        self._limit = self._admission.admit(self.parser.get_method().decode(), self._path(), self._headers)
        if len(body) > self._limit:
            raise too_large(self._limit)
        self._admission.bodies.begin(self)
        self._hold(len(body))
        if self.expect_100_continue and self._is_answered():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_chunk_header(self) -> None:
        """Begin a chunk."""
        self._uncounted -= CHUNK_LINE

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        if self._body is None or self._refusal:
            return
        self._uncounted -= len(body)
        if self._body:
            self._body = self._body if isinstance(self._body, bytearray) else bytearray(self._body)
            self._body += body
        else:
            self._body = body
        if self._limit is not None:
            self._due += len(body) * self.timeouts.byte
            if len(self._body) > self._limit:
                raise too_large(self._limit)
            self._hold(len(body))

    def on_message_complete(self) -> None:
        """Take a request that is complete."""
        if self._body is None or self._refusal:
            return
        body, self._body, self._whole = bytes(self._body), None, True
        self._admission.bodies.end(self)
        self._complete(body)

    def _complete(self, body: bytes) -> None:
        """Answer a request. Raise Problem when it cannot be answered."""
        self._call(body, Arrival(time.perf_counter()))

    def _call(self, body: bytes, arrival: Arrival) -> None:
        """Hand a request to the application. Raise Problem when there is no room for its body."""
        self._flush()
        if self._limit is None:
            self._hold(len(body))
        self.expect_100_continue = False
        self.scope["headers"] = list(self._headers.items())
        self.scope[ARRIVED] = arrival  # type: ignore[literal-required]
        self.scope[ADMITTED] = self._limit  # type: ignore[literal-required]
        super().on_headers_complete()
        self.cycle.body, self.cycle.more_body = body, False  # type: ignore[assignment]
        self.cycle.keep_alive &= not self._last
        self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Continue after the application answered."""
        super().on_response_complete()
        self._wait(self.timeout_keep_alive)
        if not self._is_answered():
            self._set_timer(self.timeout_keep_alive)  # which uvicorn does only when nothing is left to answer
            return
        self._release()
        if self._refusal:
            self._send_refusal()
        elif self._unread:
            self.loop.call_soon(self._resume)

    def _resume(self) -> None:
        """Parse the bytes that waited."""
        data, self._unread = self._unread, b""
        self.data_received(data)

    def resume_writing(self) -> None:
        """Continue after a client took its answers."""
        super().resume_writing()
        if self._unread:
            self.flow.resume_reading()
            self.loop.call_soon(self._resume)

    def _refuse(self, problem: Problem) -> None:
        """Refuse everything from here on: answer the requests before it, say what is wrong, close the connection."""
        self._flush()
        self._admission.bodies.end(self)
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
        self.transport.write(self._format(reply, stays=False))
        self.transport.write_eof()
        self._wait(self.timeouts.linger)
        self._unset_keepalive_if_required()
        self._set_timer(self.timeouts.linger)

    def shutdown(self) -> None:
        """Close the connection, as the service stops; a request whose head came is answered."""
        self._flush()
        if self._body is None:
            super().shutdown()
        self._last = True

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that is overdue. The deadline moves without the timer, which is set again here."""
        if self.transport.is_closing():
            return
        unsent = self.transport.get_write_buffer_size()
        stuck, self._unsent = 0 < unsent == self._unsent, unsent
        refused = self._refusal is not None and self._is_answered()
        if not stuck and not refused and (unsent or not self._is_answered()):
            self._wait(self.timeout_keep_alive)
        left = self._due - time.perf_counter()
        if left > 0 and not stuck:
            self._set_timer(left)
        elif stuck or refused:
            self.transport.abort()
        elif self._whole:
            self.transport.close()
        else:
            what = "head" if self._body is None else "body"
            self._refuse(Problem(HTTPStatus.REQUEST_TIMEOUT, f"the {what} took too long"))

    def _wait(self, seconds: float) -> None:
        """Set the deadline of the other side."""
        self._due = time.perf_counter() + seconds

    def _set_timer(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _hold(self, size: int) -> None:
        """Hold so much of a body. Raise Problem when there is no room."""
        if not self._admission.bodies.hold(self, size):
            raise _full()
        self._held_bytes += size

    def _release(self) -> None:
        """Hold no body any more."""
        self._admission.bodies.end(self)
        self._admission.bodies.release(self._held_bytes)
        self._held_bytes = 0

    def _flush(self) -> None:
        """Send the answers that wait, before anything else is sent."""

    def _is_answered(self) -> bool:
        """Return whether the application has nothing to answer."""
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def _is_free(self) -> bool:
        """Return whether an answer may be sent at once."""
        return self._is_answered() and not self.flow.write_paused

    def _path(self) -> str:
        try:
            return unquote((httptools.parse_url(self.url).path or b"").decode("latin-1"))
        except (AttributeError, httptools.HttpParserError):  # there is no request yet, or its target is none
            return ""

    def _format(self, reply: Reply, stays: bool) -> bytes:
        pieces = [STATUS_LINE[reply.status]]
        for name, value in self.server_state.default_headers:
            pieces += (name, b": ", value, b"\r\n")
        if not stays and CLOSE not in reply.head:
            pieces.append(CLOSE)
        pieces += (reply.head, b"content-length: %d" % len(reply.body), END, reply.body)
        return b"".join(pieces)


def _too_long() -> Problem:
    detail = f"the head, or what goes with a chunked body, is over {HEAD_BYTES} bytes or {MAX_HEADERS} headers"
    return Problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)


def _full() -> Problem:
    again = {"Retry-After": "1"}
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "too many bytes of bodies at once", headers=again)
