"""The tutorial from zero to a policy that earns: its commands and params, in a small world with fewer impressions."""

import re
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.support import worlds
from tests.support.all_stages import run_all
from tests.support.decide_server import run_decide_server

from adloom.cli import experiment, world
from adloom.cli.main import cli
from adloom.config import params
from adloom.config.settings import Settings
from adloom.context import StageContext, read_pseudonym_key
from adloom.datasets.project import apply_overlay, init_project
from adloom.stages.register import default_candidate, register

PAGE = (Path(__file__).parents[2] / "docs/tutorials/earning-policy.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^adloom .*$", PAGE, re.MULTILINE)
SERVICE = {"ADLOOM_AUTH": "off", "ADLOOM_SERVE_WITHOUT_MODEL": "ready", "ADLOOM_PSEUDONYM_KEY_FILE": "key"}

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project of the tutorial, as the working folder, and a world in which few impressions show the best."""
    monkeypatch.chdir(tmp_path)
    init_project(tmp_path, "decision_log")
    (tmp_path / "key").write_text("0123456789abcdef" * 4)
    (tmp_path / "key").chmod(0o600)
    monkeypatch.setenv("ADLOOM_PSEUDONYM_KEY_FILE", "key")
    monkeypatch.setattr(world, "open_adworld", lambda store, seed: worlds.small_world(seed, worlds.EASY))
    return tmp_path


def run(command: str, url: str = "") -> str:
    """Run a command of the page against a service, with fewer impressions."""
    line = command.replace("http://localhost:3000", url).replace("4000", "2400")
    result = CliRunner().invoke(cli, shlex.split(line)[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def select(prefix: str) -> list[str]:
    return [command for command in COMMANDS if command.startswith(prefix)]


def test_the_tutorial_ends_with_a_policy_that_earns(
    folder: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    explore, again, measure, *_ = select("adloom world run")
    with run_decide_server(folder, [], SERVICE) as server:
        assert "decided by default 2400" in run(explore, server.url)
        middle = datetime.now(UTC)
        run(again, server.url)
        server.end()
    for command in select("adloom log"):
        run(command)
    [overlay] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    values: dict[str, Any] = yaml.safe_load(overlay)
    values["prepare"]["impressions"]["holdout_start"] = middle.isoformat()
    values["train_policy"]["maturity_hours"] /= 10  # clicks of this world come ten times as soon
    path = folder / "params.yaml"
    path.write_text(apply_overlay(path.read_text(), yaml.safe_dump(values)))
    loaded = params.load(path)
    context = replace(context, pseudonym_key=read_pseudonym_key(Settings()))
    run_all(loaded, context)
    outcome = register(default_candidate("policy"), loaded.register, context)
    assert outcome.verdict == "promote", outcome.reasons
    with run_decide_server(folder, ["--models", "models"], SERVICE) as server:
        output = run(measure, server.url)
    assert "decided by model 2400" in output
    lift = re.search(r"^lift over uniform +([+-]\d+)", output, re.MULTILINE)
    assert lift
    assert int(lift[1]) > 20
    assert (folder / "regret.png").is_file()
    monkeypatch.setattr(experiment, "load_context", lambda path: (loaded, context))
    start, status, stop = (run(command) for command in select("adloom experiment"))
    assert "champion" in start
    assert "sample ratio: p = 1" in status
    assert "the champion decides for all users" in stop
    [drift] = select("adloom drift")
    assert "0 of" in run(drift) or "no feature" in run(drift)
