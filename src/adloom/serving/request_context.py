"""Which request something is about: its id in answers and log lines, and the trace it belongs to (W3C)."""

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
    """What names a request."""

    request_id: str
    trace_id: str | None  # of the caller's trace


current: ContextVar[Trace | None] = ContextVar("current", default=None)  # of the request that is being answered


class RequestIds:
    """New ids, 32 hex digits each; drawn from the system many at a time, which is several times as fast."""

    def __init__(self) -> None:
        self._drawn: list[str] = []

    def __call__(self) -> str:
        """Return one."""
        if not self._drawn:
            digits = os.urandom(16 * 256).hex()
            self._drawn = [digits[i : i + 32] for i in range(0, len(digits), 32)]
        return self._drawn.pop()


new_id = RequestIds()


def of(headers: Mapping[bytes, bytes]) -> Trace:
    """Take the caller's names over: X-Request-ID, else the trace's id, else a new one; what is malformed is no name."""
    trace_id = None
    if (parent := headers.get(b"traceparent")) and (found := TRACEPARENT.fullmatch(parent)):
        trace_id = found[1].decode()
    if (given := headers.get(b"x-request-id")) and REQUEST_ID.fullmatch(given):
        return Trace(given.decode(), trace_id)
    return Trace(trace_id or new_id(), trace_id)


def request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the name that a request has, or gets here."""
    if b"x-request-id" in headers or b"traceparent" in headers:
        return of(headers).request_id.encode()
    return new_id().encode()


class JsonLines(logging.Formatter):
    """Log records as JSON objects, one a line."""

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


def set_up() -> None:
    """Log to stderr: JSON for machines, a plain line where a person is watching."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("adloom: %(message)s") if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
