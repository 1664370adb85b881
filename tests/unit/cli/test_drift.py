"""`adloom drift` on converted logs, with MLflow on SQLite."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.drift_samples import make_impressions
from tests.support.trigger_stub import TOKEN, trigger_server

from adloom.cli.main import cli
from adloom.config.base import ConfigModel
from adloom.storage import manifest

PARAMS = Path(__file__).parents[3] / "params.yaml"


@pytest.fixture(autouse=True)
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two days of impressions as `adloom log to-impressions` writes them, with other segments on the second one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    for name, segments in {"monday": "ab", "tuesday": "aaab"}.items():
        with manifest.draft(Path(name), "log to-impressions", ConfigModel(), {}) as draft:
            make_impressions(1000, len(name), segments).to_parquet(draft.path / "2026-03-01.parquet")
            draft.rows = {"impressions": 1000}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["drift", "monday", *arguments, "--params", str(PARAMS)], catch_exceptions=False)


@pytest.mark.slow
def test_the_command_names_what_has_drifted(tmp_path: Path) -> None:
    lines = run("tuesday").stdout.splitlines()
    assert lines[0].startswith("drift: impressions ctx_segment PSI 0.2")
    assert lines[-1] == "1 of 3 features have drifted; reports/drift/report.html shows all"
    assert run("monday").stdout.splitlines() == [
        "not compared: click rate: no clicks of two users in the reference are older than drift.maturity_hours",
        "0 of 3 features have drifted; reports/drift/report.html shows all",
    ]


@pytest.mark.slow
def test_ten_alarms_are_one_request_across_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call opens MLflow again, as a new process does."""
    monkeypatch.setenv("ADLOOM_TOKEN", TOKEN)
    with trigger_server() as server:
        monkeypatch.setenv("ADLOOM_TRIGGER_URL", server.url)
        answers = [json.loads(run("tuesday", "--retrain", "--json").stdout) for _ in range(10)]
    assert len(server.requests) == 1
    assert answers[0]["retraining"].startswith("started: drift: impressions ctx_segment")
    assert {answer["retraining"][:20] for answer in answers[1:]} == {"already requested at"}
