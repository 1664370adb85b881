"""uvicorn in a thread, configured as by `adloom serve`, and raw connections to it."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from adloom.serving import http_server


@contextlib.contextmanager
def running(app: ASGIApp, **changes: Any) -> Iterator[int]:
    """Serve an application and yield its port."""
    with http_server.bind_socket("127.0.0.1", 0) as bound:
        served = uvicorn.Server(http_server.ServerConfig(app, **{**http_server.UVICORN_OPTIONS, **changes}))
        served.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        thread = threading.Thread(target=served.run, kwargs={"sockets": [bound]})
        thread.start()
        while not served.started:
            time.sleep(0.01)
        try:
            yield bound.getsockname()[1]
        finally:
            served.should_exit = True
            thread.join()


class Wire:
    """A connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._read = b""

    def send(self, data: bytes) -> None:
        """Send bytes immediately."""
        self._socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer: status, headers, body."""
        while b"\r\n\r\n" not in self._read:
            self._read += self._more()
        head, _, rest = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers["content-length"])
        while len(rest) < length:
            rest += self._more()
        self._read = rest[length:]
        return int(first.split()[1]), headers, rest[:length]

    def is_closed(self) -> bool:
        """Wait for the server; return whether it closed the connection."""
        return self._socket.recv(1) == b""

    def close(self) -> None:
        """Close."""
        self._socket.close()

    def _more(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("closed")
        return data
