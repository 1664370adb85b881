"""Request ids, trace ids, and JSON log lines."""

import json
import logging
import sys

import pytest

from adloom.serving import request_context
from adloom.serving.request_context import JsonLines, Trace

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("headers", "request_id", "trace_id"),
    [
        ({b"traceparent": f"00-{TRACE}-b7ad6b7169203331-01".encode()}, TRACE, TRACE),
        ({b"traceparent": f"cc-{TRACE}-b7ad6b7169203331-01-of-the-future".encode()}, TRACE, TRACE),
        ({b"traceparent": f"00-{TRACE}-b7ad6b7169203331-01".encode(), b"x-request-id": b"r1"}, "r1", TRACE),
        ({b"x-request-id": b"a/b:c=d@e.f-g+h_1"}, "a/b:c=d@e.f-g+h_1", None),
    ],
)
def test_ids_of_the_caller_are_kept(headers: dict[bytes, bytes], request_id: str, trace_id: str | None) -> None:
    assert request_context.read_trace(headers) == Trace(request_id, trace_id)
    assert request_context.request_id(headers) == request_id.encode()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"traceparent": b"nonsense"},
        {b"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01".encode()},
        {b"traceparent": f"00-{TRACE}-{'0' * 16}-01".encode()},
        {b"traceparent": f"00-{TRACE.upper()}-b7ad6b7169203331-01".encode()},
        {b"x-request-id": b"a\r\nset-cookie: x"},
        {b"x-request-id": b"x" * 129},
        {b"x-request-id": b""},
    ],
)
def test_malformed_ids_are_ignored(headers: dict[bytes, bytes]) -> None:
    first, second = request_context.read_trace(headers), request_context.read_trace(headers)
    assert first.trace_id is None
    assert len(first.request_id) == 32
    assert int(first.request_id, 16) != int(second.request_id, 16)


def test_ids_do_not_repeat() -> None:
    assert len({request_context.new_id() for _ in range(2000)}) == 2000


def test_a_log_line_is_an_object_that_names_the_request() -> None:
    try:
        raise ValueError("inside\nof it")
    except ValueError:
        record = logging.LogRecord("adloom.x", logging.ERROR, "f", 1, "failed: %s", ("ä",), sys.exc_info())
    token = request_context.current.set(Trace("r1", TRACE))
    try:
        line = JsonLines().format(record)
    finally:
        request_context.current.reset(token)
    assert "\n" not in line
    found = json.loads(line)
    assert found["time"].endswith("+00:00")
    assert "ValueError: inside" in found.pop("exception")
    del found["time"]
    assert found == {
        "level": "error",
        "logger": "adloom.x",
        "message": "failed: ä",
        "request_id": "r1",
        "trace_id": TRACE,
    }
