"""The ad server's client: decisions and feedback over one connection, and plain errors."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.tokens import tokens_file
from tests.support.uvicorn_server import running

from adloom.config.settings import Settings
from adloom.decision_log.record import Decision
from adloom.errors import (
    AuthenticationError,
    ConfigError,
    ExternalServiceError,
    PermissionDeniedError,
    UnavailableError,
)
from adloom.serving import app
from adloom.serving.ad_client import AdClient
from adloom.serving.api import auth
from adloom.serving.decide.service import MemoryLog
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

BODY = {"placement": "side", "candidates": ["creative-0"], "user_id": "1"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, MemoryLog]]:
    """A service without models that wants a token for decisions."""
    tokens = tokens_file(tmp_path_factory.mktemp("tokens"), "secret", "decide")
    log = MemoryLog()
    dependencies = app.ServiceDependencies(
        PseudonymKeys(None), auth=auth.create_auth(Settings(tokens_file=tokens)), log=log, ready_without_model=True
    )
    with running(app.create_decide_app(Models({}, {}), dependencies)) as port:
        yield f"http://127.0.0.1:{port}", log


def test_a_decision_is_logged(served: tuple[str, MemoryLog]) -> None:
    url, log = served
    with AdClient(url, "secret") as client:
        decisions = [client.decide(BODY) for _ in range(3)]
    assert [d.creative_id for d in decisions] == ["creative-0"] * 3
    assert [decision.decision_id for decision in decisions] == [
        record.decision_id for record in log.records if isinstance(record, Decision)
    ]


def test_a_connection_that_the_service_closed_is_opened_again(served: tuple[str, MemoryLog]) -> None:
    with AdClient(served[0], "secret") as client:
        client.decide(BODY)
        client._connection.sock.shutdown(socket.SHUT_RDWR)
        assert client.decide(BODY).tier == "default"


def test_a_missing_token_names_the_variable(served: tuple[str, MemoryLog]) -> None:
    with AdClient(served[0]) as client, pytest.raises(AuthenticationError, match="401 .*; set ADLOOM_TOKEN to"):
        client.decide(BODY)


def test_a_token_without_the_scope_names_it(served: tuple[str, MemoryLog]) -> None:
    with AdClient(served[0], "secret") as client, pytest.raises(PermissionDeniedError, match=r"403 .*feedback"):
        client.send_feedback({"decision_id": "0" * 32, "creative_id": "creative-0", "kind": "click"})


def test_an_invalid_request_is_an_error_with_its_detail(served: tuple[str, MemoryLog]) -> None:
    with AdClient(served[0], "secret") as client, pytest.raises(ExternalServiceError, match="422 placement: "):
        client.decide({"placement": 1})


def test_a_service_that_is_away_names_the_next_step(tmp_path: Path) -> None:
    with AdClient("http://127.0.0.1:9") as client, pytest.raises(UnavailableError, match="is the service running"):
        client.decide(BODY)


def test_a_token_that_no_header_takes_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="ADLOOM_TOKEN: expected printable ASCII; set ADLOOM_TOKEN to"):
        AdClient("http://localhost:3000", "a\nb")


@pytest.mark.parametrize("url", ["localhost:3000", "ftp://x", "http://"])
def test_an_address_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected the URL of a service"):
        AdClient(url)
