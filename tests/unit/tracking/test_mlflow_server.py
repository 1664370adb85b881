"""The environment of MLflow's client."""

import os

import pytest
from tests.support.silent_port import silent_port

from adloom.errors import ExternalServiceError
from adloom.tracking.mlflow_server import CLIENT_VARIABLES, MlflowConnection, prepare_environment


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
