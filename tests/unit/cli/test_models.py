"""The commands by which people list, promote and roll back versions."""

import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.support.local_http import serve
from tests.support.params_files import SHIPPED

from adloom.cli import models
from adloom.cli.main import cli
from adloom.config import params
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.errors import ExternalServiceError
from adloom.registry.memory import MemoryRegistry
from adloom.storage import manifest

PARAMS = params.load(SHIPPED)


@pytest.fixture(autouse=True)
def _two_versions(tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        with manifest.draft(tmp_path / f"cnn-{number}", "train_cnn", Source(uri=str(number)), {}):
            pass
        context.registry.register("cnn", tmp_path / f"cnn-{number}", {"verdict": "promote"})
    monkeypatch.setattr(models, "load_context", lambda path: (PARAMS, context))


@pytest.fixture
def local_metrics() -> Iterator[str]:
    """The address of a server with the metrics of a canary."""
    rows = "".join(
        f'adloom_canary_requests_total{{model="cnn",role="challenger",outcome="{outcome}"}} 1\n'
        for outcome in ("answered", "refused")
    )

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(rows.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with serve(Metrics) as url:
        yield url


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def aliases() -> list[tuple[int, list[str]]]:
    return [(row["version"], row["aliases"]) for row in json.loads(call("models", "--json").stdout)]


def test_a_person_promotes_and_rolls_back_with_a_reason() -> None:
    assert call("promote", "cnn", "1", "--reason", "sharp").stdout == "cnn: version 1 is the champion\n"
    call("promote", "cnn", "2", "--reason", "sharper")
    assert aliases() == [(1, []), (2, ["champion"])]
    assert call("rollback", "cnn", "--reason", "no handles").stdout == "cnn: version 1 is the champion again\n"
    assert aliases() == [(1, ["champion"]), (2, [])]
    assert "no handles" in call("models").stdout


def test_no_reason_and_an_unknown_version_change_nothing() -> None:
    assert call("promote", "cnn", "1").exit_code == 2
    assert call("promote", "cnn", "9", "--reason", "typing error").exit_code != 0
    assert aliases() == [(1, []), (2, [])]


def test_an_empty_registry_is_one_line_with_its_place(
    context: StageContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(
        models, "load_context", lambda path: (PARAMS, replace(context, registry=MemoryRegistry(tmp_path)))
    )
    place = f"MLflow at sqlite:///mlflow.db in {tmp_path}"
    assert call("models").stdout == f"demo: no versions in {place}; `adloom run` makes and registers them\n"


def test_a_canary_is_read_from_a_service(local_metrics: str) -> None:
    lines = call("models", "--canary", local_metrics).stdout.splitlines()
    assert lines[1] == "cnn    challenger         2    50.0%     0.0%      0.0"
    assert json.loads(call("models", "--canary", local_metrics, "--json").stdout)[0]["refused"] == 0.5
    with pytest.raises(ExternalServiceError, match="is the service running"):
        CliRunner().invoke(cli, ["models", "--canary", "http://127.0.0.1:9"], catch_exceptions=False)
