"""The HTTP server: uvicorn with our protocol."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from adloom.errors import ConfigError, LockedError
from adloom.serving.decide.endpoint import LifespanMiddleware
from adloom.serving.decide.fast_http_protocol import FastHttpProtocol

STOP_SECONDS = 5  # for requests in progress when the service stops
UVICORN_OPTIONS: Mapping[str, Any] = {
    "loop": "uvloop",
    "http": FastHttpProtocol,
    "ws": "none",
    "proxy_headers": False,  # nothing depends on the client's address
    "lifespan": "on",
    "log_config": None,
    "log_level": "error",  # hides warnings about input that is not HTTP
    "access_log": False,
    "server_header": False,
    "timeout_graceful_shutdown": STOP_SECONDS,
}


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration, with the application's admission and endpoint for connections."""

    def load(self) -> None:
        """Load the application and bind the protocol to it."""
        super().load()
        app = self.loaded_app
        endpoint = app.endpoint if isinstance(app, LifespanMiddleware) else None
        connect = partial(cast("Any", self.http_protocol_class), admission=app.admission, endpoint=endpoint)
        self.http_protocol_class = cast("type[asyncio.Protocol]", connect)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, page: str) -> None:
        super().__init__(config)
        self._page = page

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            print(format_ready(sockets[0], self._page), flush=True)


def run(app: ASGIApp, bound: socket.socket, page: str) -> None:
    """Serve until interrupted; `page` is printed as an example."""
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again after it has stopped
        _Server(ServerConfig(app, **UVICORN_OPTIONS), page).run(sockets=[bound])


@contextlib.contextmanager
def bind_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a listening socket. Raises LockedError when the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except socket.gaierror as error:
            raise ConfigError(f"--host {host}: {error.strerror}; 127.0.0.1 serves this machine alone") from None
        except OSError as error:
            raise LockedError(f"{host}:{port}: {error.strerror}; stop what uses it or choose another --port") from None
        bound.listen()  # another service could still bind the port before this
        yield bound


def format_ready(bound: socket.socket, page: str) -> str:
    """Return the line for a service that is ready."""
    host, port = bound.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return f"ready on {url}; try: curl {url}{page}"
