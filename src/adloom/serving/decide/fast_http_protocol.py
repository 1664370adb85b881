"""
The fast path: submit decision requests where they are read, without ASGI.

ASGI's task, events and messages cost more than a decision. A head equal to an earlier one is not parsed again. A
request behind an unanswered one goes through ASGI.
"""

from functools import partial
from typing import Any, ClassVar, NamedTuple

from adloom.serving.api.connection import CLOSE, END, Connection
from adloom.serving.decide.endpoint import DecisionEndpoint
from adloom.serving.decide.micro_batcher import Arrival, Headers, Reply, Request

MAX_HEADS = 1000  # in the cache
UNIQUE_HEADERS = {b"traceparent", b"x-request-id"}  # differ in every request


class CachedRequestHead(NamedTuple):
    """A parsed head."""

    path: str
    headers: Headers
    length: int  # of the body, in bytes
    keep_alive: bool


class FastHttpProtocol(Connection):
    """A connection with a fast path to the decision endpoint."""

    heads: ClassVar[dict[bytes, CachedRequestHead]] = {}  # of all connections, by their bytes

    def __init__(self, *args: Any, endpoint: DecisionEndpoint | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._endpoint = endpoint
        self._first: tuple[bytes, int] | None = None  # head at the start of the data, and the bytes after it

    def _feed(self, data: bytes) -> None:
        """Submit a request with a known head; parse everything else."""
        head, _, body = data.partition(END) if self._is_between_requests else (b"", b"", b"")
        cached = self.heads.get(head)
        if cached and self._endpoint and cached.length == len(body):
            request = Request(cached.path, cached.headers, body, self._record_arrival(self._endpoint))
            self._submit(self._endpoint, cached, request)
        else:
            self._first = (head, len(body)) if self._is_between_requests else None
            super()._feed(data)

    def _complete(self, body: bytes) -> None:
        endpoint = self._endpoint
        path = self._endpoint_path(endpoint) if endpoint and self.parser.get_method() == b"POST" else None
        if endpoint is None or path is None:
            super()._complete(body)
        elif not self._can_answer():
            self._call(body, self._record_arrival(endpoint))
        else:
            self._release()
            keep_alive = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
            head = CachedRequestHead(path, self._headers, len(body), keep_alive)
            head_bytes, rest = self._first or (b"", -1)
            arrival = self._record_arrival(endpoint)
            request = Request(path, self._headers, body, arrival, is_admitted=self._limit is not None)
            self._submit(endpoint, head, request, head_bytes if rest == len(body) else None)

    def _endpoint_path(self, endpoint: DecisionEndpoint) -> str | None:
        path = endpoint.urls.get(self.url.partition(b"?")[0]) or self._path()
        return path if path in endpoint.paths else None

    def _flush(self) -> None:
        if self._endpoint:
            self._endpoint.batcher.flush()

    def _record_arrival(self, endpoint: DecisionEndpoint) -> Arrival:
        return endpoint.batcher.record_arrival(self.loop.call_soon)

    def _submit(
        self,
        endpoint: DecisionEndpoint,
        head: CachedRequestHead,
        request: Request,
        head_bytes: bytes | None = None,
    ) -> None:
        endpoint.batcher.submit(request, partial(self._send, head, head_bytes), self)

    def _send(self, head: CachedRequestHead, head_bytes: bytes | None, reply: Reply) -> None:
        if self.transport.is_closing():
            return
        keep_alive = head.keep_alive and not self._is_stopping and CLOSE not in reply.head
        self.transport.write(self._format(reply, keep_alive))
        self._set_deadline(self.timeout_keep_alive)
        if not keep_alive:
            self.transport.close()
        elif head_bytes is not None and reply.status == 200:
            self._cache(head_bytes, head)

    def _cache(self, head_bytes: bytes, head: CachedRequestHead) -> None:
        has_length = head.headers.get(b"content-length") == b"%d" % head.length
        if has_length and not UNIQUE_HEADERS & head.headers.keys():
            if len(self.heads) >= MAX_HEADS:
                self.heads.clear()
            self.heads[head_bytes] = head
