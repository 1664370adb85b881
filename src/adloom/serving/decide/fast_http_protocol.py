"""
The protocol with a shortcut: a request of the lane joins the line where it was read.

That saves the task, the events and the messages in which ASGI wraps a request, which cost more than a decision. Nor is
a head parsed again that is byte for byte one that was: a client sends few different ones. A request behind one that the
application still answers goes the usual way, to the same line.
"""

from functools import partial
from typing import Any, ClassVar, NamedTuple

from adloom.serving.api.connection import CLOSE, END, Connection
from adloom.serving.decide.endpoint import DecisionEndpoint
from adloom.serving.decide.micro_batcher import Arrival, Headers, Reply, Request

HEADS = 1000  # that are kept, of all connections together
ONE_TIME = {b"traceparent", b"x-request-id"}  # headers that make every head another


class CachedRequestHead(NamedTuple):
    """What comes before a body: a POST to the lane."""

    path: str
    headers: Headers
    length: int  # of the body, in bytes
    stays: bool  # the connection, afterwards


class FastHttpProtocol(Connection):
    """A connection."""

    heads: ClassVar[dict[bytes, CachedRequestHead]] = {}  # of all connections, as they came

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lane: DecisionEndpoint | None = getattr(self.app, "lane", None)
        self._first: tuple[bytes, int] | None = None  # of what is read, if a request begins it: head, bytes after it

    def _feed(self, data: bytes) -> None:
        """Let a request join whose head is known; give the parser everything else."""
        head, _, body = data.partition(END) if self._whole else (b"", b"", b"")
        kept = self.heads.get(head)
        if kept and self._lane and kept.length == len(body):
            self._join(self._lane, kept, Request(kept.path, kept.headers, body, self._arrive(self._lane)))
        else:
            self._first = (head, len(body)) if self._whole else None
            super()._feed(data)

    def _complete(self, body: bytes) -> None:
        """Let a request of the lane join the line."""
        lane = self._lane
        path = self._lane_path(lane) if lane and self.parser.get_method() == b"POST" else None
        if lane is None or path is None:
            super()._complete(body)
        elif not self._is_free():
            self._call(body, self._arrive(lane))
        else:
            self._release()
            stays = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
            head = CachedRequestHead(path, self._headers, len(body), stays)
            came, rest = self._first or (b"", -1)
            request = Request(path, self._headers, body, self._arrive(lane), self._limit is not None)
            self._join(lane, head, request, came if rest == len(body) else None)

    def _lane_path(self, lane: DecisionEndpoint) -> str | None:
        """Return the lane's path that a request names, however it is spelled."""
        path = lane.urls.get(self.url.partition(b"?")[0]) or self._path()
        return path if path in lane.paths else None

    def _flush(self) -> None:
        if self._lane:
            self._lane.line.flush()

    def _arrive(self, lane: DecisionEndpoint) -> Arrival:
        return lane.line.arrives(self.loop.call_soon)

    def _join(
        self, lane: DecisionEndpoint, head: CachedRequestHead, request: Request, came: bytes | None = None
    ) -> None:
        lane.line.join(request, partial(self._answer, head, came), self)

    def _answer(self, head: CachedRequestHead, came: bytes | None, reply: Reply) -> None:
        if self.transport.is_closing():
            return
        stays = head.stays and not self._last and CLOSE not in reply.head
        self.transport.write(self._format(reply, stays))
        self._wait(self.timeout_keep_alive)
        if not stays:
            self.transport.close()
        elif came is not None and reply.status == 200:
            self._keep(came, head)

    def _keep(self, came: bytes, head: CachedRequestHead) -> None:
        """Keep the head of a request that was answered, as it came, if others may come with the same."""
        if head.headers.get(b"content-length") == b"%d" % head.length and not ONE_TIME & head.headers.keys():
            if len(self.heads) >= HEADS:
                self.heads.clear()
            self.heads[came] = head
