"""Admission: heads, lengths, and the memory of bodies."""

from http import HTTPStatus

import pytest

from adloom.serving.api.admission import MAX_PAGE_BYTES, Admission, Bodies, check_head, read_headers
from adloom.serving.api.decide_schemas import DECIDE, MAX_BYTES
from adloom.serving.api.endpoints import ENDPOINTS, Endpoint
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import REFRESH
from adloom.serving.metrics import RequestMetrics

JSON = {b"content-type": b"application/json"}


@pytest.fixture
def admission() -> Admission:
    return Admission(RequestMetrics(), ENDPOINTS)


def status(admission: Admission, method: str, path: str, headers: dict[bytes, bytes], length: int = 0) -> int:
    try:
        admission.admit(method, path, headers, length)
    except Problem as problem:
        return problem.status
    return 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "length", "expected"),
    [
        ("POST", DECIDE, JSON, 0, 200),
        ("POST", DECIDE, {b"content-type": b"Application/JSON; charset=utf-8"}, 0, 200),
        ("POST", DECIDE, JSON | {b"content-length": b"%d" % MAX_BYTES}, MAX_BYTES, 200),
        ("POST", DECIDE, JSON | {b"content-length": b"%d" % (MAX_BYTES + 1)}, 0, 413),
        ("POST", DECIDE, JSON | {b"content-length": b"9" * 5000}, 0, 413),
        ("POST", DECIDE, JSON | {b"content-length": b"-1"}, 0, 413),
        ("POST", DECIDE, JSON, MAX_BYTES + 1, 413),
        ("POST", DECIDE, {}, 0, 415),
        ("POST", DECIDE, {b"content-type": b"text/plain"}, 0, 415),
        ("POST", DECIDE, JSON | {b"content-encoding": b"gzip"}, 0, 415),
        ("GET", DECIDE, JSON, 0, 405),
        ("POST", REFRESH, {}, 0, 200),  # it has no body
        ("GET", "/livez", {}, 0, 200),
        ("GET", "/livez", {}, MAX_PAGE_BYTES + 1, 413),
        ("DELETE", "/nowhere", {}, 0, 200),  # the application answers 404
    ],
)
def test_who_is_admitted(
    admission: Admission, method: str, path: str, headers: dict[bytes, bytes], length: int, expected: int
) -> None:
    assert status(admission, method, path, headers, length) == expected


def test_authorization_comes_before_the_content_type() -> None:
    def refuse(header: bytes | None, endpoint: Endpoint) -> None:
        raise Problem(HTTPStatus.UNAUTHORIZED, f"{header!r} {endpoint.path}")

    admission = Admission(RequestMetrics(), ENDPOINTS, authorize=refuse)
    with pytest.raises(Problem, match=r"b'Bearer x' /v1/decide") as raised:
        admission.admit("POST", DECIDE, {b"authorization": b"Bearer x"})
    assert raised.value.status == HTTPStatus.UNAUTHORIZED
    assert status(admission, "GET", "/livez", {}) == 200


def test_repeated_headers() -> None:
    assert read_headers([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]) == {b"a": b"1, 3", b"b": b"2"}
    with pytest.raises(Problem, match="host: sent more than once"):
        read_headers([(b"host", b"a"), (b"host", b"a")])


@pytest.mark.parametrize(
    ("headers", "version", "expected"),
    [
        ({b"host": b"shop:443"}, "1.1", None),
        ({}, "1.0", None),
        ({}, "1.1", 400),
        ({b"host": b"a b"}, "1.1", 400),
        ({b"host": b"a"}, "2.0", 505),
        ({b"host": b"a", b"transfer-encoding": b"Chunked"}, "1.1", None),
        ({b"host": b"a", b"transfer-encoding": b"chunked"}, "1.0", 400),
        ({b"host": b"a", b"transfer-encoding": b"gzip, chunked"}, "1.1", 501),
    ],
)
def test_heads(headers: dict[bytes, bytes], version: str, expected: int | None) -> None:
    if expected is None:
        check_head(headers, version)
        return
    with pytest.raises(Problem) as raised:
        check_head(headers, version)
    assert raised.value.status == expected


def test_unknown_paths_share_a_label(admission: Admission) -> None:
    for path in ("/a", "/b", DECIDE):
        admission.count(path, 404, 0.1)
    value = admission.metrics.registry.get_sample_value
    assert value("adloom_requests_total", {"path": "other", "status": "404"}) == 2
    assert value("adloom_requests_total", {"path": DECIDE, "status": "404"}) == 1


class Receiver:
    """A connection that receives a body."""

    def __init__(self, bodies: Bodies) -> None:
        self.bodies, self.size = bodies, 0
        bodies.start(self)

    def receive(self, size: int) -> bool:
        fits = self.bodies.reserve(self, size)
        self.size += size if fits else 0
        return fits

    def evict(self) -> None:
        self.bodies.finish(self)
        self.bodies.release(self.size)
        self.size = 0


def test_the_room_for_bodies() -> None:
    bodies = Bodies(limit=10)
    first, second, third = (Receiver(bodies) for _ in range(3))
    assert first.receive(4)
    assert second.receive(4)
    bodies.finish(second)  # it is complete, and gives way no more
    assert third.receive(2)
    assert third.receive(3)  # the first gives way
    assert (bodies.reserved, first.size, second.size, third.size) == (9, 0, 4, 5)
    assert not third.receive(2)
    assert bodies.reserved == 9
    second.evict()
    assert third.receive(5)
    assert bodies.reserved == 10
