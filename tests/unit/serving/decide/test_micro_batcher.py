"""The micro-batcher: what one poll reads is answered together, in order, up to its limits."""

import socket
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest

from adloom.serving.decide.micro_batcher import IMMEDIATE, MAX_BATCH, Arrival, MicroBatcher, Reply, Request


class Poll:
    """The event loop around a batcher; it records batches, refusals and drops."""

    def __init__(self, max_queue: int = 100) -> None:
        self.batches: list[list[str]] = []
        self.refused: list[str] = []
        self.dropped: list[str] = []
        self.sent: list[tuple[str, int]] = []
        self._end: list[Callable[[], None]] = []
        self.batcher = MicroBatcher(self._answer, self._refuse, self._drop, max_queue)

    def read(self, path: str, client: socket.socket | None = None) -> Arrival:
        arrival = self.batcher.record_arrival(self._end.append)
        request = Request(path, {}, b"", arrival)
        self.batcher.submit(request, lambda reply: self.sent.append((path, reply.status)), client)
        return arrival

    def end(self) -> None:
        assert len(self._end) == 1  # one call at the end of each poll
        self._end.pop()()

    def _answer(self, requests: Sequence[Request]) -> list[Reply]:
        self.batches.append([request.path for request in requests])
        return [Reply(200, b"", b"") for _ in requests]

    def _refuse(self, requests: Sequence[Request]) -> Reply:
        self.refused += [request.path for request in requests]
        return Reply(429, b"", b"")

    def _drop(self, requests: Sequence[Request]) -> None:
        self.dropped += [request.path for request in requests]


def test_a_poll_is_one_batch() -> None:
    poll = Poll()
    for path in "abc":
        poll.read(path)
    assert poll.sent == []
    poll.end()
    poll.read("d")
    poll.end()
    assert poll.batches == [["a", "b", "c"], ["d"]]
    assert poll.sent == [(path, 200) for path in "abcd"]


def test_a_full_batch_does_not_wait() -> None:
    poll = Poll()
    for number in range(MAX_BATCH + 1):
        poll.read(str(number))
    assert [len(batch) for batch in poll.batches] == [MAX_BATCH]
    poll.end()
    assert [len(batch) for batch in poll.batches] == [MAX_BATCH, 1]


def test_requests_over_the_queue_are_refused_after_the_others() -> None:
    poll = Poll(max_queue=2)
    for path in "abcd":
        poll.read(path)
    poll.end()
    assert poll.sent == [("a", 200), ("b", 200), ("c", 429), ("d", 429)]
    assert poll.refused == ["c", "d"]
    poll.read("e")  # the next poll has room again
    poll.end()
    assert poll.sent[-1] == ("e", 200)


def test_a_request_outside_a_poll_is_answered_at_once() -> None:
    poll = Poll()
    poll.batcher.submit(Request("a", {}, b"", Arrival(0.0)), lambda reply: poll.sent.append(("a", reply.status)))
    assert poll.sent == [("a", 200)]


def test_arrival_is_the_previous_poll_when_the_request_was_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [10.0]
    monkeypatch.setattr("adloom.serving.decide.micro_batcher.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    poll = Poll()
    clock[0] = 20.0
    assert poll.read("a").time == 20.0  # nothing was answered just before
    clock[0] = 21.0
    poll.end()
    clock[0] += IMMEDIATE / 2
    assert poll.read("b").time == 20.0  # it may have waited since then
    poll.end()
    clock[0] += 1
    assert poll.read("c").time == clock[0]


def test_requests_of_closed_connections_are_dropped() -> None:
    poll = Poll()
    ours, theirs = socket.socketpair()
    closed, other = socket.socketpair()
    with ours, theirs, closed, other:
        poll.read("a", ours)
        poll.read("b", closed)
        poll.read("c")
        other.close()
        poll.end()
    assert poll.dropped == ["b"]
    assert poll.batches == [["a", "c"]]


def test_headers_of_a_reply() -> None:
    reply = Reply(200, b"content-type: application/json\r\nx-request-id: a: b\r\n", b"{}")
    assert reply.headers == [
        (b"content-type", b"application/json"),
        (b"x-request-id", b"a: b"),
        (b"content-length", b"2"),
    ]
