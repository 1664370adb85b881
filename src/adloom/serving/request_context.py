"""The request id and trace id in answers and log lines."""

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import NamedTuple

REQUEST_ID = re.compile(rb"[\w.:/+=@-]{1,128}")
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class Trace(NamedTuple):
    """The ids of a request."""

    request_id: str
    trace_id: str | None  # of the caller


current: ContextVar[Trace | None] = ContextVar("current", default=None)


class RequestIds:
    """Random ids of 32 hex digits, many per system call."""

    def __init__(self) -> None:
        self._ids: list[str] = []

    def __call__(self) -> str:
        """Return a new id."""
        if not self._ids:
            digits = os.urandom(16 * 256).hex()
            self._ids = [digits[i : i + 32] for i in range(0, len(digits), 32)]
        return self._ids.pop()


new_id = RequestIds()


def read_trace(headers: Mapping[bytes, bytes]) -> Trace:
    """Return the ids of a request; malformed headers are ignored."""
    trace_id = None
    if (parent := headers.get(b"traceparent")) and (match := TRACEPARENT.fullmatch(parent)):
        trace_id = match[1].decode()
    if (request_id := headers.get(b"x-request-id")) and REQUEST_ID.fullmatch(request_id):
        return Trace(request_id.decode(), trace_id)
    return Trace(trace_id or new_id(), trace_id)


def request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the id of a request, or a new one."""
    if b"x-request-id" in headers or b"traceparent" in headers:
        return read_trace(headers).request_id.encode()
    return new_id().encode()


class JsonLines(logging.Formatter):
    """Format log records as JSON lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if trace := current.get():
            fields |= {name: value for name, value in trace._asdict().items() if value}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def configure_logging() -> None:
    """Log to stderr, as JSON unless it is a terminal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("adloom: %(message)s") if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
