"""Connections to a real server: limits on size and time, refusals and order, on every path."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from opentelemetry.sdk.trace import TracerProvider
from starlette.types import ASGIApp
from tests.support.decision_logs import wait_until
from tests.support.tokens import tokens_file
from tests.support.uvicorn_server import Wire, running

from adloom.config.settings import Settings
from adloom.kubeflow import trigger_server
from adloom.serving import app as decide_app
from adloom.serving import server
from adloom.serving.api.admission import MAX_PAGE_BYTES, Bodies
from adloom.serving.api.auth import TokenAuth, add_token
from adloom.serving.api.connection import MAX_HEAD_BYTES, MAX_HEADERS, Timeouts
from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.api.middleware import MAX_IN_FLIGHT
from adloom.serving.api.schemas import GENERATE, READ, SEGMENT, WRITE
from adloom.serving.client import GREY_PIXEL
from adloom.serving.creatives.request_batcher import THREADS
from adloom.serving.decide.fast_http_protocol import FastHttpProtocol
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys
from adloom.serving.telemetry import Tracing

pytestmark = pytest.mark.slow

BODIES = {
    DECIDE: b'{"placement": "side", "candidates": ["creative-0", "creative-1"], "user_id": "1"}',
    SEGMENT: b'{"users": ["1"]}',
    GENERATE: b'{"category": "Bag"}',
    WRITE: b'{"n": 1}',
    READ: b'{"pictures": ["none"]}',
}
PATHS = list(BODIES)
TOKEN = "a-token-that-is-long-enough"


class Quick(FastHttpProtocol):
    """A connection with little time."""

    timeouts = Timeouts(head=0.5, body=0.5, byte=0.1, linger=0.1)
    lost: ClassVar[set[Any]] = set()  # addresses of those that were closed

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.add(self.client)
        super().connection_lost(exc)


def application(models: Models, name: str = "all", **dependencies: Any) -> Any:
    return server.create_named_app(name, models, decide_app.ServiceDependencies(PseudonymKeys(None), **dependencies))


@pytest.fixture(scope="module")
def app(models: Models) -> ASGIApp:
    app: ASGIApp = application(models)
    return app


@pytest.fixture(scope="module")
def port(app: ASGIApp) -> Iterator[int]:
    with running(app) as port:
        yield port


@pytest.fixture(scope="module")
def hurried(models: Models) -> Iterator[int]:
    with running(application(models), http=Quick, timeout_keep_alive=1) as port:
        yield port


@contextlib.contextmanager
def connected(port: int) -> Iterator[Wire]:
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()


def request(path: str, *lines: str, body: bytes | None = None, version: str = "1.1") -> bytes:
    """A request whose headers are these; without any, those that it needs."""
    content = BODIES[path.partition("?")[0]] if body is None else body
    needed = ["Host: test", "Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([f"POST {path} HTTP/{version}", *(lines or needed), "", ""]).encode() + content


def status(port: int, data: bytes) -> int:
    with connected(port) as wire:
        wire.send(data)
        return wire.answer()[0]


class TestHeaders:
    """One reading of headers: the parser's, and what RFC 9112 says beyond it, alike on all paths."""

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize(
        ("more", "expected"),
        [
            (["Host: test", "Content-Length: \t{} \t"], 200),
            (["Host: [::1]:3000", "Content-Length: {}"], 200),
            (["Host: test", "Content-Length: {}", "X-Request-ID: a", "X-Request-ID: b"], 200),
            (["Content-Length: {}"], 400),
            (["Host: test", "Host: test", "Content-Length: {}"], 400),
            (["Host: a b", "Content-Length: {}"], 400),
            (["Host: test", "Content-Length: {}", "Content-Length: {}"], 400),
            (["Host: test", "Content-Length: {}, {}"], 400),
            (["Host: test", "Content-Length: +{}"], 400),
            (["Host: test", "Content-Length: {}", "Transfer-Encoding: chunked"], 400),
            (["Host: test", "Transfer-Encoding: gzip, chunked"], 501),
            (["Host: test", "Content-Length: {}", "Authorization: Bearer a", "Authorization: Bearer a"], 400),
            (["Host: test", "Content-Length: {}", "Content-Type: application/json"], 400),
            (["Host: test", "Content-Length: {}", "A: b\r\n c"], 400),
            (["Host: test", "Content-Length: {}", "A : b"], 400),
            (["Host: test", "Content-Length: {}", "A: b\rc"], 400),
            (["Host: test", "Content-Length: {}", "A: b\nC: d"], 400),
            (["Host: test", "Content-Length: {}", "A: b\x00c"], 400),
            (["Host: test", "Content-Length: {}", *(f"h{i}: " for i in range(MAX_HEADERS - 3))], 200),
            (["Host: test", "Content-Length: {}", *(f"h{i}: " for i in range(MAX_HEADERS - 2))], 431),
            (["Host: test", "Content-Length: {}", f"A: {'b' * (MAX_HEAD_BYTES - 200)}"], 200),
            (["Host: test", "Content-Length: {}", f"A: {'b' * MAX_HEAD_BYTES}"], 431),
        ],
    )
    def test_they_mean_the_same_on_every_path(self, port: int, path: str, more: list[str], expected: int) -> None:
        length = str(len(BODIES[path]))
        lines = [line.replace("{}", length) for line in more]
        assert status(port, request(path, "Content-Type: application/json", *lines)) == expected

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize(("version", "expected"), [("1.0", 200), ("2.0", 505), ("0.9", 505), ("1.2", 400)])
    def test_versions(self, port: int, path: str, version: str, expected: int) -> None:
        assert status(port, request(path, version=version)) == expected

    def test_http_1_0_needs_no_host_and_knows_no_chunks(self, port: int) -> None:
        assert status(port, b"GET /livez HTTP/1.0\r\n\r\n") == 200
        assert status(port, b"POST /livez HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == 400

    def test_a_proxy_is_not_what_this_is(self, port: int) -> None:
        assert status(port, b"CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n") == 405

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("cut", [1, 40, 10**6])
    def test_a_proposal_of_another_protocol_is_answered_in_http_1_1(self, port: int, path: str, cut: int) -> None:
        """Java's HttpClient proposes h2c, browsers might propose a WebSocket."""
        length = f"Content-Length: {len(BODIES[path])}"
        usual = ["Host: test", "Content-Type: application/json", length]
        h2c = request(path, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEA", *usual)
        socket = request(path, *usual, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        with connected(port) as wire:
            for data in (h2c, request(path), socket, request(path)):
                wire.send(data[:cut])
                wire.send(data[cut:])
                assert wire.answer()[0] == 200

    @pytest.mark.parametrize("path", PATHS)
    def test_a_proposal_with_chunks_or_on_the_last_request_is_answered_too(self, port: int, path: str) -> None:
        offer = ["Host: test", "Content-Type: application/json", "Upgrade: h2c"]
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODIES[path]) + b"0\r\n\r\n"
        length = f"Content-Length: {len(BODIES[path])}"
        with connected(port) as wire:
            wire.send(request(path, *offer, "Connection: Upgrade", "Transfer-Encoding: chunked", body=chunks))
            assert wire.answer()[0] == 200
            wire.send(request(path, *offer, "Connection: Upgrade, close", length))
            assert wire.answer()[0] == 200
            assert wire.is_closed()
        assert status(port, request(path, *offer, "Connection: Upgrade", length, version="1.0")) == 200

    def test_a_header_after_the_body_means_nothing(self, models: Models, tmp_path: Any) -> None:
        good = add_token(tmp_path / "tokens", "shop", ["decide"])
        chunked = ["Host: test", "Content-Type: application/json", "Transfer-Encoding: chunked"]
        with running(application(models, auth=TokenAuth(tmp_path / "tokens"))) as port:
            for path, body in BODIES.items():
                whole = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
                for given, trailer, expected in ((good, "bad", 200), ("bad", good, 401)):
                    trailed = whole + f"Authorization: Bearer {trailer}\r\n\r\n".encode()
                    data = request(path, *chunked, f"Authorization: Bearer {given}", body=trailed)
                    assert status(port, data) == expected

    def test_a_body_is_not_taken_of_a_client_who_may_not_ask(self, models: Models, tmp_path: Any) -> None:
        add_token(tmp_path / "tokens", "shop", ["decide"])
        with running(application(models, auth=TokenAuth(tmp_path / "tokens"))) as port:
            for path in PATHS:
                assert status(port, request(path)[:-1]) == 401
                assert status(port, request(path).replace(b"application/json", b"text/plain")[:-1]) == 401

    @pytest.mark.parametrize("path", [*PATHS, "/livez", "/nowhere"])
    def test_a_body_that_is_too_long_is_refused_before_it_comes(self, port: int, path: str) -> None:
        lines = ["Host: test", "Content-Type: application/json", f"Content-Length: {17 * 2**20}"]
        assert status(port, request(path, *lines, body=b"{")) == 413

    def test_a_page_takes_next_to_no_body(self, port: int) -> None:
        chunk = b"%x\r\n%b\r\n" % (MAX_PAGE_BYTES, b" " * MAX_PAGE_BYTES)
        with connected(port) as wire:
            wire.send(b"GET /livez HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
            wire.send(chunk * 2)
            assert wire.answer()[0] == 413


CHUNKED = request(DECIDE, "Host: test", "Content-Type: application/json", "Transfer-Encoding: chunked", body=b"")


class TestFloods:
    """What has no end is refused once it is longer than anything that is right."""

    @pytest.mark.parametrize("path", [DECIDE, SEGMENT, trigger_server.TRIGGER])
    @pytest.mark.parametrize(
        ("first", "repeated"),
        [
            (b"POST {} HTTP/1.1\r\n", b"a: b\r\n"),
            (b"POST {} HTTP/1.1\r\nA: ", b"a"),
            (b"POST {} HTTP/1.1\r\n", b"a"),
            (b"POST {}?", b"a"),
            (b"", b"\r\n"),
            (CHUNKED.replace(DECIDE.encode(), b"{}") + b"1;a=", b"b"),
            (CHUNKED.replace(DECIDE.encode(), b"{}"), b"1;" + b"a" * 500 + b"\r\n \r\n"),
            (CHUNKED.replace(DECIDE.encode(), b"{}") + b"1\r\n \r\n0\r\n", b"a: b\r\n"),
            (CHUNKED.replace(DECIDE.encode(), b"{}") + b"1\r\n \r\n0\r\na: ", b"b"),
        ],
    )
    def test_is_refused(
        self, models: Models, port: int, path: str, first: bytes, repeated: bytes, tmp_path: Path
    ) -> None:
        most = 2 * MAX_HEAD_BYTES
        flood = (first.replace(b"{}", path.encode()) + repeated * (most // len(repeated) + 1))[:most]
        trigger = trigger_server.create_app(
            lambda *_: None,  # type: ignore[arg-type]
            Settings(tokens_file=tokens_file(tmp_path, TOKEN)),
        )
        with running(trigger) as other, connected(other if path == trigger_server.TRIGGER else port) as wire:
            if path == trigger_server.TRIGGER:
                flood = flood.replace(b"Host: test", f"Host: test\r\nAuthorization: Bearer {TOKEN}".encode())
            wire.send(flood)
            assert wire.answer()[0] == 431
            assert wire.is_closed()

    def test_a_body_in_many_small_chunks_is_none(self, port: int) -> None:
        padded = BODIES[DECIDE].ljust(MAX_HEAD_BYTES)
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in padded) + b"0\r\n\r\n"
        assert status(port, CHUNKED + chunks) == 200

    def test_requests_that_come_before_they_can_be_answered_wait_unread(self, port: int) -> None:
        page = b"GET /livez HTTP/1.1\r\nHost: test\r\n\r\n"
        segment = request(SEGMENT)
        with connected(port) as wire:
            sending = threading.Thread(target=wire.send, args=((page + segment) * 300,))
            sending.start()
            for _ in range(300):
                assert wire.answer()[2] == b"alive\n"
                assert b"items" in wire.answer()[2]
            sending.join()

    def test_a_refusal_comes_after_the_answers_to_what_was_right(self, port: int) -> None:
        with connected(port) as wire:
            wire.send(request(DECIDE) + request(GENERATE) + request(DECIDE) + b"nonsense\r\n\r\n")
            assert [wire.answer()[0] for _ in range(4)] == [200, 200, 200, 400]
            assert wire.is_closed()


class TestTimes:
    def test_a_connection_that_sends_nothing_is_closed(self, hurried: int) -> None:
        wires = [Wire(hurried) for _ in range(50)]
        assert all(wire.is_closed() for wire in wires)
        for wire in wires:
            wire.close()

    def test_a_head_or_a_body_that_does_not_end_is_refused(self, hurried: int) -> None:
        sent = []
        for path, body in BODIES.items():
            whole = request(path)
            for cut, what in ((1, "head"), (40, "head"), (-len(body), "body"), (-1, "body")):
                sent.append((Wire(hurried), what))
                sent[-1][0].send(whole[:cut])
        for wire, what in sent:
            code, _, answer = wire.answer()
            assert (code, json.loads(answer)["detail"]) == (408, f"the {what} took too long")
            assert wire.is_closed()
            wire.close()

    def test_a_head_that_drips_has_no_more_time(self, hurried: int) -> None:
        with connected(hurried) as wire:
            began, rest = time.perf_counter(), iter(request(SEGMENT, "Host: test", "A: " + "b" * 1000))
            wire._socket.settimeout(0.02)
            code = 0
            while not code:
                wire.send(bytes([next(rest)]))
                with contextlib.suppress(TimeoutError):
                    code = wire.answer()[0]
            assert code == 408
            assert time.perf_counter() - began >= Quick.timeouts.head

    def test_a_body_that_goes_on_coming_has_more_time(self, hurried: int) -> None:
        whole = request(DECIDE)
        with connected(hurried) as wire, connected(hurried) as other:
            wire.send(whole[:-30])
            assert status(hurried, request(SEGMENT)) == 200  # so that this was read before the rest
            wire.send(whole[-30:-1])  # which buys ten times as long
            began = time.perf_counter()
            while time.perf_counter() - began < 2 * Quick.timeouts.body:
                other.send(request(SEGMENT))
                assert other.answer()[0] == 200
            wire.send(whole[-1:])
            assert wire.answer()[0] == 200

    @pytest.mark.parametrize("asked", [b"GET /openapi.json HTTP/1.1\r\nHost: test\r\n\r\n", request(DECIDE)])
    def test_a_client_that_does_not_take_its_answers_is_left(self, hurried: int, asked: bytes) -> None:
        with connected(hurried) as wire:
            wire._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wire._socket.settimeout(0.1)
            with contextlib.suppress(TimeoutError, ConnectionError):
                while True:
                    wire.send(asked * 100)
            wait_until(lambda: wire._socket.getsockname() in Quick.lost)


class TestLoad:
    def test_bodies_that_do_not_come_take_no_place_from_others(self, port: int) -> None:
        for path in PATHS:
            held = [Wire(port) for _ in range(MAX_IN_FLIGHT + 2)]
            for wire in held:
                wire.send(request(path)[: 1 - len(BODIES[path])])
            assert {other: status(port, request(other)) for other in PATHS} == dict.fromkeys(PATHS, 200)
            for wire in held:
                wire.close()

    @pytest.mark.parametrize("traced", [False, True])
    def test_the_queue_is_bounded_on_every_path(self, models: Models, traced: bool) -> None:
        app = application(models, "decide", max_queue=0, tracing=Tracing(TracerProvider()) if traced else None)
        whole, body = request(DECIDE), BODIES[DECIDE]
        with running(app) as port:
            assert status(port, whole) == 429
            assert status(port, request(f"{DECIDE}?k=1")) == 429
            assert status(port, whole.replace(b"/v1/decide", b"/v1/%64ecide")) == 429
            assert status(port, request(DECIDE, version="1.0")) == 429
            assert status(port, CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)) == 429
            with connected(port) as wire:
                for cut in (10, len(whole) - 1):
                    wire.send(whole[:cut])
                    assert status(port, whole) == 429  # so that the first piece was read
                    wire.send(whole[cut:])
                    assert wire.answer()[0] == 429
                wire.send(request(SEGMENT) + whole)  # behind one that is being answered
                assert [wire.answer()[0] for _ in range(2)] == [200, 429]
            busy = app.admission.metrics.registry.get_sample_value(
                "adloom_requests_total", {"path": DECIDE, "status": "429"}
            )
            assert busy == 10

    @pytest.mark.parametrize("traced", [False, True])
    def test_the_clock_starts_when_a_request_is_complete(self, models: Models, traced: bool) -> None:
        app = application(models, "decide", tracing=Tracing(TracerProvider()) if traced else None)
        whole = request(DECIDE)
        with running(app) as port, connected(port) as wire, connected(port) as other:
            wire.send(whole[:-1])
            began = time.perf_counter()
            while time.perf_counter() - began < 0.2:
                other.send(whole)
                assert other.answer()[0] == 200
            sent = time.perf_counter()
            wire.send(whole[-1:])
            assert json.loads(wire.answer()[2])["elapsed_ms"] <= (time.perf_counter() - sent) * 1e3 + 100

    def test_bodies_have_room_for_so_many_bytes_and_the_oldest_is_evicted(self, models: Models) -> None:
        app = application(models)
        app.admission.bodies = Bodies(limit=4000)
        large = BODIES[SEGMENT].ljust(3000)
        with running(app) as port, connected(port) as slow:
            slow.send(request(SEGMENT, body=large)[:-1])
            wait_until(lambda: app.admission.bodies.reserved == 2999)
            assert status(port, request(SEGMENT, body=large)) == 200
            code, headers, _ = slow.answer()
            assert (code, headers["retry-after"]) == (429, "1")
            assert status(port, request(SEGMENT, body=large.ljust(4001))) == 429
            assert status(port, request(SEGMENT, body=large.ljust(4000))) == 200
            wait_until(lambda: app.admission.bodies.reserved == 0)

    def test_a_request_whose_client_left_is_not_run(self, models: Models) -> None:
        """Each thread that runs a model is busy, and the requests that wait for one are dropped."""
        begun, go_on, runs = threading.Semaphore(0), threading.Event(), []

        def slow(run: Any) -> Any:
            def run_later(*inputs: Any) -> Any:
                runs.append(run)
                begun.release()
                assert go_on.wait(30)
                return run(*inputs)

            return run_later

        class SlowGenerator:
            latent = models.gan.model.latent
            __call__ = staticmethod(slow(models.gan.model))

        gan: Any = SlowGenerator()
        reader = replace(models.cnn.model, read=slow(models.cnn.model.read))
        loaded: dict[str, Any] = {"gan": replace(models.gan, model=gan), "cnn": replace(models.cnn, model=reader)}
        app = application(Models({**models.loaded, **loaded}, {}), "creatives")
        read = request(READ, body=b'{"pictures": ["%b"]}' % GREY_PIXEL.encode())
        with running(app) as port, contextlib.ExitStack() as wires:
            staying = []
            for data in [request(GENERATE), read] * THREADS:
                staying.append(wires.enter_context(connected(port)))
                staying[-1].send(data)
                assert begun.acquire(timeout=30)
            leaving = {path: Wire(port) for path in (GENERATE, READ)}
            for path, wire in leaving.items():
                wire.send(read if path == READ else request(path))
            wait_until(lambda: app.admission.metrics.in_flight == len(staying) + len(leaving))
            for wire in leaving.values():
                wire.close()
            wait_until(lambda: app.admission.metrics.in_flight == len(staying))  # before their turn
            go_on.set()
            assert [wire.answer()[0] for wire in staying] == [200] * len(staying)
            value = app.admission.metrics.registry.get_sample_value
            for path in leaving:
                assert value("adloom_requests_total", {"path": path, "status": "499"}) == 1
        assert len(runs) == len(staying)
