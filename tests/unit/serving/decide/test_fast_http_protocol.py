"""Bytes in, bytes out: the answers are the same over the fast path and over ASGI."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.uvicorn_server import Wire, running

from adloom.serving import app as decide_app
from adloom.serving.api.connection import Timeouts
from adloom.serving.api.decide_schemas import DECIDE, MAX_BYTES
from adloom.serving.decide.endpoint import DecisionEndpoint
from adloom.serving.decide.fast_http_protocol import FastHttpProtocol
from adloom.serving.decide.micro_batcher import MAX_BATCH, MicroBatcher
from adloom.serving.decide.service import MemoryLog
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

BODY = json.dumps({"placement": "side", "candidates": ["creative-0", "creative-1"], "user_id": "1"}).encode()


@dataclass
class Paths:
    """How many requests took each path."""

    fast: int = 0
    asgi: int = 0


@pytest.fixture(scope="module")
def port(models: Models) -> Iterator[int]:
    with running(
        decide_app.create_decide_app(models, decide_app.ServiceDependencies(PseudonymKeys(None), log=MemoryLog()))
    ) as port:
        yield port


@pytest.fixture
def wire(port: int) -> Iterator[Wire]:
    wire = Wire(port)
    yield wire
    wire.close()


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> Paths:
    paths = Paths()
    join, call = MicroBatcher.submit, DecisionEndpoint.__call__

    def submit_and_count(self: MicroBatcher, *args: Any) -> None:
        paths.fast += 1
        join(self, *args)

    async def call_and_count(self: DecisionEndpoint, scope: dict[str, str], *args: object) -> None:
        paths.asgi += scope.get("path") == DECIDE
        await call(self, scope, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(MicroBatcher, "submit", submit_and_count)
    monkeypatch.setattr(DecisionEndpoint, "__call__", call_and_count)
    return paths


def head(body: bytes = BODY, *more: str, method: str = "POST", path: str = DECIDE, version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: test", "Content-Type: application/json", *more]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode()


def good(wire: Wire) -> dict[str, str]:
    status, headers, body = wire.answer()
    assert (status, headers["content-type"]) == (200, "application/json"), body
    assert json.loads(body)["tier"] == "model"
    assert {"date", "x-request-id", "content-length"} <= headers.keys()
    return headers


def test_a_request_that_comes_whole_takes_the_fast_path(wire: Wire, paths: Paths) -> None:
    for _ in range(3):
        wire.send(head() + BODY)
        good(wire)
    assert (paths.fast, paths.asgi) == (3, 0)


def test_a_head_that_was_parsed_is_not_parsed_again(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    parse = FastHttpProtocol._parse

    def noting(self: FastHttpProtocol, piece: bytes) -> None:
        parsed.append(piece)
        parse(self, piece)

    monkeypatch.setattr(FastHttpProtocol, "_parse", noting)
    ids = set()
    for _ in range(3):
        wire.send(head(BODY, "X-Mine: 1") + BODY)
        ids.add(good(wire)["x-request-id"])
    assert len(parsed) == 1
    assert len(ids) == 3
    other = BODY.replace(b"side", b"down")
    wire.send(head(other, "X-Mine: 1") + other)  # the same head, for the length is the same
    good(wire)
    assert len(parsed) == 1
    wire.send(head(BODY + b" ", "X-Mine: 1") + BODY + b" ")
    good(wire)
    assert len(parsed) == 2


def test_a_cached_head_with_another_length_of_body_is_parsed(wire: Wire, paths: Paths) -> None:
    wire.send(head(BODY, "X-Mine: 2") + BODY)
    good(wire)
    wire.send(head(BODY, "X-Mine: 2") + BODY[:10])  # the rest comes later
    wire.send(BODY[10:])
    good(wire)
    wire.send(head(BODY, "X-Mine: 2") + BODY + head(BODY, "X-Mine: 2") + BODY)  # two at once
    good(wire)
    good(wire)
    assert paths.fast + paths.asgi == 4


def test_heads_with_request_ids_are_not_cached(wire: Wire) -> None:
    for name in ("first", "second", "first"):
        wire.send(head(BODY, f"X-Request-ID: {name}") + BODY)
        assert good(wire)["x-request-id"] == name
    assert not any(b"X-Request-ID" in kept for kept in FastHttpProtocol.heads)


@pytest.mark.parametrize("cut", [1, 10, len(head()) - 1, len(head()), len(head()) + 1, len(head()) + len(BODY) - 1])
def test_a_request_in_pieces(wire: Wire, cut: int) -> None:
    whole = head() + BODY
    wire.send(whole[:cut])
    wire.send(whole[cut:])
    good(wire)
    wire.send(whole)
    good(wire)


def test_a_request_byte_by_byte(wire: Wire) -> None:
    for byte in head() + BODY:
        wire.send(bytes([byte]))
    good(wire)


@pytest.mark.parametrize("count", [2, 5])
def test_requests_in_one_piece_are_answered_in_turn(wire: Wire, count: int) -> None:
    segment = b'{"users": ["1"]}'
    names = []
    for i in range(count):
        names += [f"d{i}", f"s{i}"]
    wire.send(
        b"".join(
            head(BODY, f"X-Request-ID: d{i}")
            + BODY
            + head(segment, f"X-Request-ID: s{i}", path="/v1/segment")
            + segment
            for i in range(count)
        )
    )
    assert [wire.answer()[1]["x-request-id"] for _ in names] == names


def test_a_body_in_chunks(wire: Wire) -> None:
    chunked = head(BODY, "Transfer-Encoding: chunked").replace(b"Content-Length: %d\r\n" % len(BODY), b"")
    wire.send(chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
    good(wire)
    wire.send(head() + BODY)
    good(wire)


def test_a_client_that_waits_to_be_told_to_go_on(wire: Wire) -> None:
    wire.send(head(BODY, "Expect: 100-continue"))
    assert wire._more().startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.send(BODY)
    good(wire)


@pytest.mark.parametrize(("more", "version"), [(["Connection: close"], "1.1"), ([], "1.0")])
def test_a_connection_that_is_to_be_closed_is(wire: Wire, more: list[str], version: str) -> None:
    wire.send(head(BODY, *more, version=version) + BODY)
    assert good(wire)["connection"] == "close"
    assert wire.is_closed()


def test_a_connection_that_is_to_be_kept_is(wire: Wire, paths: Paths) -> None:
    for _ in range(3):
        wire.send(head(BODY, "Connection: keep-alive") + BODY)
        assert "connection" not in good(wire)
    assert paths.fast == 3


def test_refusals_over_the_fast_path(wire: Wire, paths: Paths) -> None:
    wire.send(head(b"{") + b"{")
    status, headers, body = wire.answer()
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(body)["status"] == 400
    wire.send(head(b"{}") + b"{}")
    assert wire.answer()[0] == 422
    assert paths.fast == 2
    wire.send(head(b" " * (MAX_BYTES + 1)))  # is told before the body is there
    status, headers, _ = wire.answer()
    assert (status, headers["connection"]) == (413, "close")


def test_another_method_goes_through_asgi(wire: Wire, paths: Paths) -> None:
    wire.send(head(b"", method="GET"))
    assert wire.answer()[0] == 405
    assert (paths.fast, paths.asgi) == (0, 1)


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST /v1/decide HTTP/1.1\r\nA\x00: b\r\n\r\n"]
)
def test_what_is_not_http(wire: Wire, port: int, garbage: bytes) -> None:
    wire.send(garbage)
    assert wire.answer()[0] == 400
    other = Wire(port)
    other.send(head() + BODY)
    good(other)
    other.close()


def test_what_is_not_http_is_refused_after_what_came_before_is_answered(wire: Wire) -> None:
    wire.send((head() + BODY) * 2 + b"\x16\x03\x01")
    assert [wire.answer()[0] for _ in range(3)] == [200, 200, 400]
    assert wire.is_closed()


def test_many_requests_in_one_piece_are_answered_in_turn(wire: Wire) -> None:
    names = [f"r{i}" for i in range(MAX_BATCH * 2 + 1)]
    wire.send(b"".join(head(BODY, f"X-Request-ID: {name}") + BODY for name in names))
    assert [good(wire)["x-request-id"] for _ in names] == names


def test_a_client_that_goes_away_in_the_middle(port: int, wire: Wire) -> None:
    for cut in (20, len(head()), len(head()) + 5):
        gone = Wire(port)
        gone.send((head() + BODY)[:cut])
        gone.close()
    wire.send(head() + BODY)
    good(wire)


class Quick(FastHttpProtocol):
    """A protocol that looks at a connection after a second."""

    timeouts = Timeouts(head=1.0)


@pytest.mark.slow
def test_quiet_connections_are_closed_and_others_are_not(models: Models) -> None:
    app = decide_app.create_decide_app(models, decide_app.ServiceDependencies(PseudonymKeys(None), log=MemoryLog()))
    with running(app, timeout_keep_alive=1, http=Quick) as port:
        quiet, lively = Wire(port), Wire(port)
        for wire in (quiet, lively):
            wire.send(head() + BODY)
            good(wire)
        for _ in range(4):
            lively._socket.settimeout(0.4)
            with pytest.raises(TimeoutError):
                lively.is_closed()
            lively.send(head() + BODY)
            good(lively)
        assert quiet.is_closed()
        quiet.close()
        lively.close()


def test_requests_over_the_queue_are_refused_with_retry_after(models: Models) -> None:
    app = decide_app.create_decide_app(
        models, decide_app.ServiceDependencies(PseudonymKeys(None), log=MemoryLog(), max_queue=2)
    )
    with running(app) as port:
        wire = Wire(port)
        wire.send((head() + BODY) * 5)  # one look at the socket finds all of them
        answers = [wire.answer() for _ in range(5)]
        assert [status for status, _, _ in answers] == [200, 200, 429, 429, 429]
        assert answers[-1][1]["retry-after"] == "1"
        wire.send(head() + BODY)
        good(wire)
        wire.close()
