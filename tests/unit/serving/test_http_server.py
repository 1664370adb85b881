"""The HTTP server: its socket, and the line that says it is ready."""

import socket
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from adloom.errors import ConfigError, LockedError
from adloom.serving import app, http_server
from adloom.serving.api.admission import Admission
from adloom.serving.decide.fast_http_protocol import FastHttpProtocol
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys


def test_a_port_in_use_is_named() -> None:
    with http_server.bind_socket("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(LockedError, match=f"127.0.0.1:{port}"), http_server.bind_socket("127.0.0.1", port):
            pass
    with http_server.bind_socket("127.0.0.1", port):  # it is free again
        pass


def test_connections_queue_before_the_server_runs() -> None:
    with http_server.bind_socket("127.0.0.1", 0) as bound, socket.create_connection(bound.getsockname(), 5) as early:
        assert early.getpeername() == bound.getsockname()


def test_an_unknown_host_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="--host no host"), http_server.bind_socket("no host", 0):
        pass


@pytest.mark.parametrize(("host", "url"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_the_ready_line_has_the_url(host: str, url: str) -> None:
    with http_server.bind_socket(host, 0) as bound:
        address = f"{url}{bound.getsockname()[1]}"
        assert http_server.format_ready(bound, "/v1/models") == f"ready on {address}; try: curl {address}/v1/models"


class WithoutEndpoint:
    """An application with an admission and no decision endpoint, as the trigger server."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError


def test_connections_get_the_admission_and_the_endpoint_of_the_application(models: Models) -> None:
    application = app.create_decide_app(models, app.ServiceDependencies(PseudonymKeys(None)))
    admission = application.admission
    for served, endpoint in ((application, application.endpoint), (WithoutEndpoint(admission), None)):
        config = http_server.ServerConfig(served, **http_server.UVICORN_OPTIONS)
        config.load()
        connect: Any = config.http_protocol_class
        assert (connect.func, connect.keywords) == (FastHttpProtocol, {"admission": admission, "endpoint": endpoint})
