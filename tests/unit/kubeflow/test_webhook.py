"""A message arrives, is tried again while the server fails, and a failure never shows the address."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from tests.support.local_http import serve
from tests.support.silent_port import silent_port
from tests.support.webhook import webhook as listening

from adloom.kubeflow import webhook


@contextmanager
def answering(*statuses: int) -> Iterator[tuple[str, list[int]]]:
    """Yield the address of a server that gives these answers, the last one for ever, and those it gave."""
    given: list[int] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            given.append(statuses[min(len(given), len(statuses) - 1)])
            self.send_response(given[-1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with serve(Server) as url:
        yield f"{url}/hook?secret", given


def warning(url: str, caplog: pytest.LogCaptureFixture) -> str:
    with caplog.at_level(logging.WARNING):
        webhook.post(url, {"state": "FINISHED"})
    [line] = caplog.messages
    assert "secret" not in line
    return line


def test_a_message_arrives_as_json(caplog: pytest.LogCaptureFixture) -> None:
    with listening() as (url, messages):
        webhook.post(url, {"state": "FINISHED"})
    assert messages == [{"state": "FINISHED"}]
    assert caplog.messages == []


def test_a_server_error_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with answering(503, 204) as (url, given):
        webhook.post(url, {})
    assert given == [503, 204]
    assert caplog.messages == []


def test_a_server_that_goes_on_failing_is_given_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "RETRIES", 1)
    with answering(500) as (url, given):
        assert "127.0.0.1: HTTP status 500" in warning(url, caplog)
    assert given == [500, 500]


def test_a_refusal_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with answering(404) as (url, given):
        assert "127.0.0.1: HTTP status 404" in warning(url, caplog)
    assert given == [404]


def test_a_port_that_drops_packets_is_named(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT", 0.3)
    monkeypatch.setattr(webhook, "RETRIES", 0)
    with silent_port() as port:
        assert f"may close port {port})" in warning(f"http://127.0.0.1:{port}/hook?secret", caplog)


@pytest.mark.parametrize(
    "url", ["", "ftp://host/secret", "http://:80/secret", "http://[/secret", "http://host:secret/"]
)
def test_an_address_that_is_none_is_a_warning(url: str, caplog: pytest.LogCaptureFixture) -> None:
    warning(url, caplog)
