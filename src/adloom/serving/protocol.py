"""
uvicorn's HTTP protocol with a shortcut: a request of the lane that came whole joins the line where it was read.

That saves the task, the events and the messages in which ASGI wraps a request, which cost more than a decision. Nor is
a head parsed again that is byte for byte one that was: a client sends few different ones. What is not so simple (a body
in pieces, a request before the last one's answer, a client that does not read) goes the usual way, to the same answer.
"""

import time
from functools import partial
from typing import Any, ClassVar, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from adloom.serving.lane import ARRIVED, Lane
from adloom.serving.line import Headers, Reply, Request

HEADS = 1000  # that are kept, of all connections together
END = b"\r\n\r\n"
ENDS = b"connection: close\r\n"
ONE_TIME = {b"traceparent", b"x-request-id"}  # headers that make every head another


class Head(NamedTuple):
    """What comes before a body: a POST to the lane."""

    path: str
    headers: Headers
    length: int  # of the body, in bytes
    stays: bool  # the connection, afterwards


class Shortcut(HttpToolsProtocol):
    """A connection."""

    heads: ClassVar[dict[bytes, Head]] = {}  # of all connections, as they came

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lane: Lane | None = getattr(self.app, "lane", None)
        self._held: bytes | None = None  # what came of the body of a request that may take the shortcut
        self._whole = True  # the parser is between two requests
        self._first: tuple[bytes, int] | None = (
            None  # of what is read, if a request begins it: head, length of the rest
        )
        self._arrived = self._quiet = 0.0  # when the last request came and was answered; by time.perf_counter

    def data_received(self, data: bytes) -> None:
        """Take what was read."""
        head, _, body = data.partition(END)
        met = self.heads.get(head)
        if met and self._lane and self._whole and met.length == len(body) and self._is_free():
            self._arrived = self._lane.line.arrives(self.loop.call_soon)
            self._join(self._lane, met, body)
        else:
            self._parse(data, head, body)

    def _parse(self, data: bytes, head: bytes, body: bytes) -> None:
        self._first = (head, len(body)) if self._whole else None
        super().data_received(data)
        if self._held is not None and self.parser is not None:  # the rest is still to come: the usual way
            held, self._held = self._held, None
            self._flush()
            super().on_headers_complete()
            super().on_body(held)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._whole = False
        if self._lane:
            self._arrived = self._lane.line.arrives(self.loop.call_soon)
            self.scope[ARRIVED] = self._arrived  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        """Choose the way."""
        if self._lane and self.url in self._lane.urls and self._is_free() and self._is_simple():
            self._held = b""
        else:
            self._flush()
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        if self._held is None:
            super().on_body(body)
        else:
            self._held += body

    def on_message_complete(self) -> None:
        """Answer a request that came whole."""
        self._whole = True
        if self._held is None or self._lane is None:
            super().on_message_complete()
            return
        body, self._held = self._held, None
        stays = self.parser.should_keep_alive()
        head = Head(self._lane.urls[self.url], dict(self.headers), len(body), stays)
        came, rest = self._first or (b"", -1)
        self._join(self._lane, head, body, came if rest == len(body) else None)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, after what was."""
        self._flush()
        super().send_400_response(msg)

    def shutdown(self) -> None:
        """Close the connection, as the service stops."""
        self._flush()
        super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that has been quiet; the shortcut leaves the timer as it is, and is looked at here."""
        left = self._quiet + self.timeout_keep_alive - time.perf_counter()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _flush(self) -> None:
        if self._lane:
            self._lane.line.flush()

    def _is_free(self) -> bool:
        """Return whether an answer may be sent at once."""
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline and not self.flow.write_paused

    def _is_simple(self) -> bool:
        return (
            not self.expect_100_continue
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and not self.parser.should_upgrade()
        )

    def _join(self, lane: Lane, head: Head, body: bytes, came: bytes | None = None) -> None:
        lane.line.join(Request(head.path, head.headers, body, self._arrived), partial(self._answer, head, came))

    def _answer(self, head: Head, came: bytes | None, reply: Reply) -> None:
        if self.transport.is_closing():
            return
        stays = head.stays and ENDS not in reply.head
        pieces = [STATUS_LINE[reply.status]]
        for name, value in self.server_state.default_headers:
            pieces += (name, b": ", value, b"\r\n")
        if not stays and ENDS not in reply.head:
            pieces.append(ENDS)
        pieces += (reply.head, b"content-length: %d" % len(reply.body), END, reply.body)
        self.transport.write(b"".join(pieces))
        self._quiet = time.perf_counter()
        if not stays:
            self.transport.close()
            return
        if self.timeout_keep_alive_task is None:
            self.on_response_complete()
        if came is not None and reply.status == 200:
            self._keep(came, head)

    def _keep(self, came: bytes, head: Head) -> None:
        """Keep the head of a request that was answered, as it came, if others may come with the same."""
        if head.headers.get(b"content-length") == b"%d" % head.length and not ONE_TIME & head.headers.keys():
            if len(self.heads) >= HEADS:
                self.heads.clear()
            self.heads[came] = head
