"""
uvicorn's HTTP protocol with a shortcut: a request of the lane that came whole is answered where it was read.

That saves the task, the events and the messages in which ASGI wraps a request, which cost more than a decision. What
is not so simple (a body in pieces, a request before the last one's answer, a client that does not read) goes the usual
way and gets the same answer.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from adloom.serving.lane import ARRIVED, Lane, Reply

ENDS = (b"connection", b"close")


class Shortcut(HttpToolsProtocol):
    """A connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lane: Lane | None = getattr(self.app, "lane", None)
        self._held: bytes | None = None  # what came of the body of a request that may take the shortcut
        self._arrived = 0.0

    def data_received(self, data: bytes) -> None:
        """Take what was read."""
        super().data_received(data)
        if self._held is not None and self.parser is not None:  # the rest is still to come: the usual way
            held, self._held = self._held, None
            super().on_headers_complete()
            super().on_body(held)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        if self._lane:
            self._arrived = self.scope[ARRIVED] = self._lane.line.arrives(self.loop.call_soon)  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        """Choose the way."""
        if self._lane and self.url in self._lane.urls and self._is_simple():
            self._held = b""
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        if self._held is None:
            super().on_body(body)
        else:
            self._held += body

    def on_message_complete(self) -> None:
        """Answer a request that came whole."""
        if self._held is None or self._lane is None:
            super().on_message_complete()
            return
        body, self._held = self._held, None
        path = self._lane.urls[self.url]
        full = self._lane.line.full
        self._write(
            self._lane.refused(path) if full else self._lane.answer(path, dict(self.headers), body, self._arrived)
        )

    def _is_simple(self) -> bool:
        return (
            (self.cycle is None or self.cycle.response_complete)
            and not self.pipeline
            and not self.expect_100_continue
            and not self.flow.write_paused
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and not self.parser.should_upgrade()
        )

    def _write(self, reply: Reply) -> None:
        if self.transport.is_closing():
            return
        stays = self.parser.should_keep_alive() and ENDS not in reply.headers
        pieces = [STATUS_LINE[reply.status]]
        for name, value in (*self.server_state.default_headers, *reply.headers):
            pieces += (name, b": ", value, b"\r\n")
        pieces += (
            b"content-length: %d\r\n" % len(reply.body),
            b"\r\n" if stays else b"connection: close\r\n\r\n",
            reply.body,
        )
        self.transport.write(b"".join(pieces))
        if not stays:
            self.transport.close()
        self.on_response_complete()
