"""The environment of MLflow's client."""

import os
import time
from http.server import BaseHTTPRequestHandler

import pytest
from tests.support import local_http
from tests.support.silent_port import silent_port

from adloom.errors import AuthenticationError, ExternalServiceError
from adloom.tracking.mlflow import MlflowTracker
from adloom.tracking.mlflow_server import CLIENT_VARIABLES, MlflowConnection, prepare_environment


class SignIn(BaseHTTPRequestHandler):
    """A reverse proxy that refuses every password."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(401)
        self.send_header("content-length", "6")
        self.end_headers()
        self.wfile.write(b"<html>")

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_files_pass_through_the_server_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CLIENT_VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    prepare_environment()
    assert os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] == "false"
    assert os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] == "true"


@pytest.mark.slow
def test_an_error_names_a_port_that_drops_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with silent_port() as port:
        server = MlflowConnection(f"http://127.0.0.1:{port}", "shop")
        said = rf"Connection to 127.0.0.1 timed out \(.* may close port {port}\); are it"
        with pytest.raises(ExternalServiceError, match=said), server.translate_errors("find the experiment"):
            server.experiment_id()


@pytest.mark.slow
def test_a_refused_password_names_its_variables(caplog: pytest.LogCaptureFixture) -> None:
    with local_http.serve(SignIn) as uri:
        server = MlflowConnection(uri, "shop")
        line = (
            r"find the experiment: API request .* 401 != 200; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
        with pytest.raises(AuthenticationError, match=line):
            server.call("find the experiment", server.experiment_id)
        with MlflowTracker(uri, "shop").start_run("train_gan", {}, {}):
            pass
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("is_silent", [True, False])
def test_a_dead_postgresql_is_told_in_seconds(is_silent: bool) -> None:
    with silent_port() as port:
        server = MlflowConnection(f"postgresql+psycopg://me:secret@127.0.0.1:{port if is_silent else 1}/mlflow", "shop")
        began = time.monotonic()
        with pytest.raises(ExternalServiceError, match="cannot be opened: .*; is MLFLOW_TRACKING_URI right") as caught:
            server.call("find the experiment", server.experiment_id)
    assert "secret" not in str(caught.value)
    assert time.monotonic() - began < 15


@pytest.mark.slow
def test_an_error_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "elsewhere.example")
    server = MlflowConnection("http://mlflow.example", "shop")
    line = (
        r"through the proxy http://127.0.0.1:1 of HTTP_PROXY; without it if NO_PROXY contains mlflow.example\); are it"
    )
    with pytest.raises(ExternalServiceError, match=line):
        server.call("find the experiment", server.experiment_id)
