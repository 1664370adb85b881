"""An error line names a port that is closed in silence, as network policies and firewalls do."""

import time
from collections.abc import Iterator

import pytest
from tests.support.silent_port import silent_port

from adloom.connection_errors import require_reachable
from adloom.errors import ExternalServiceError
from adloom.tracking.mlflow_server import MlflowConnection


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port that takes no connection, and clients that give up soon."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with silent_port() as port:
        yield port


def test_mlflows_line_names_the_port(silent: int) -> None:
    server = MlflowConnection(f"http://127.0.0.1:{silent}", "shop")
    said = rf"Connection to 127.0.0.1 timed out \(.* may close port {silent}\); are it"
    with pytest.raises(ExternalServiceError, match=said), server.translate_errors("find the experiment"):
        server.experiment_id()


def test_the_wait_for_a_server_ends_in_time(silent: int) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=rf"^timed out \(a network policy or a firewall may close port {silent}\)$"):
        require_reachable(f"http://127.0.0.1:{silent}", 0.3)
    assert time.monotonic() - begun < 5


def test_a_server_that_refuses_is_left_to_the_request() -> None:
    require_reachable("http://127.0.0.1:9", 0.3)  # the discard port: nobody listens


def test_a_server_behind_a_proxy_is_not_looked_for(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    require_reachable(f"http://127.0.0.1:{silent}", 0.3)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(TimeoutError):
        require_reachable(f"http://127.0.0.1:{silent}", 0.3)
