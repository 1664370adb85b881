"""The commands of experiments: start, look, and end by hand or by rule."""

import json
import re
import secrets
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.decision_logs import click, decision, frame_segment, write_segment
from tests.support.params_files import SHIPPED

from adloom.cli import experiment
from adloom.cli.main import cli
from adloom.config import params
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.decision_log.record import Line, now
from adloom.decision_log.segment_file import format_day
from adloom.errors import LockedError
from adloom.experiments.definition import decode_event
from adloom.registry.base import CHALLENGER, CHAMPION, Registry, find_alias
from adloom.registry.memory import MemoryRegistry
from adloom.storage import manifest

PAGE = Path(__file__).parents[3] / "docs/how-to/experiments.md"
COMMANDS = re.findall("^adloom experiment .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
PARAMS = params.load(SHIPPED).model_copy(update={"project": "shop"})
START = ["experiment", "start", "new-policy", "--arms", "champion=50,challenger=50"]


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry with a champion and a challenger; the decision log is in the folder `log`."""
    for number, alias in ((1, CHAMPION), (2, CHALLENGER)):
        with manifest.draft(tmp_path / f"policy-{number}", "train_policy", Source(uri=str(number)), {}):
            pass
        context.registry.register("policy", tmp_path / f"policy-{number}", {})
        context.registry.set_alias("policy", alias, number, "trained")
    monkeypatch.setattr(experiment, "load_context", lambda path: (PARAMS, context))
    monkeypatch.setenv("ADLOOM_LOG_URI", str(tmp_path / "log"))
    return context.registry


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def champion(registry: Registry) -> int | None:
    found = find_alias(registry.versions("policy"), CHAMPION)
    return found.version if found else None


def actions(registry: Registry) -> list[str]:
    return [decode_event(event).action for event in registry.experiment_events()]


def write_log(folder: Path, clicks: dict[str, int], decisions: int = 2000) -> None:
    """Write decisions of each arm since the start, with this many clicks."""
    start = now()
    lines: list[Line] = []
    for arm, clicked in clicks.items():
        for number in range(len(lines), len(lines) + decisions):
            fields = {"experiment": "new-policy", "arm": arm, "arm_probability": 0.5, "user": None, "user_key": None}
            lines.append(decision(number, time=start, **fields))
        lines += [
            click(number, time=start) for number in range(len(lines) - decisions, len(lines) - decisions + clicked)
        ]
    write_segment(folder / "log", frame_segment(lines), format_day(start))


def test_start_prints_the_arms_with_their_policies(registry: Registry) -> None:
    result = call(*START[:-1], "champion=80,challenger=15,control=5", "--rate", "0.02")
    lines = result.stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["champion", "80.0%", "policy", "1"],
        ["challenger", "15.0%", "policy", "2"],
        ["control", "5.0%", "uniform"],
    ]
    assert lines[3].endswith("decisions until a lift of 10% is found")
    assert actions(registry) == ["start"]


def test_one_experiment_runs_at_a_time() -> None:
    assert call(*START).exit_code == 0
    again = call(*START)
    assert again.exit_code != 0
    assert "new-policy is running; `adloom experiment stop new-policy --reason …` ends it" in str(again.exception)


def test_a_second_start_at_the_same_moment_is_refused(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other start happens between the look at the registry and the record."""
    make_key = secrets.token_hex

    def start_other(size: int) -> str:
        monkeypatch.setattr(secrets, "token_hex", make_key)
        assert call("experiment", "start", "other", *START[3:]).exit_code == 0
        return make_key(size)

    monkeypatch.setattr(secrets, "token_hex", start_other)
    result = call(*START)
    assert isinstance(result.exception, LockedError)
    assert [decode_event(event).experiment.name for event in registry.experiment_events()] == ["other"]


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ("champion=50,v9=50", "v9: no such policy; registered: v1, v2"),
        ("champion=50,challenger=40", "the shares sum to 90"),
        ("champion=50,control=50", "--until-evidence: no arm to promote"),
    ],
)
def test_wrong_arms_start_nothing(registry: Registry, arms: str, message: str) -> None:
    assert message in str(call(*START[:-1], arms, "--until-evidence").exception)
    assert actions(registry) == []


def test_a_person_ends_promotes_and_rolls_back(registry: Registry) -> None:
    call(*START)
    assert call("experiment", "stop", "new-policy", "--reason", "over").exit_code == 0
    assert champion(registry) == 1
    call("experiment", "start", "second", *START[3:])
    call("experiment", "promote", "second", "--reason", "more clicks")
    assert champion(registry) == 2
    call("experiment", "rollback", "second", "--reason", "complaints")
    assert champion(registry) == 1
    assert actions(registry) == ["start", "stop", "start", "promote", "rollback"]


def test_rollback_takes_no_other_promotion_back(registry: Registry) -> None:
    call(*START)
    call("experiment", "promote", "new-policy", "--reason", "more clicks")
    registry.set_alias("policy", CHAMPION, 1, "refreshed")
    result = call("experiment", "rollback", "new-policy", "--reason", "complaints")
    assert "version 1 is the champion for another reason than experiment new-policy: refreshed" in str(result.exception)
    assert (champion(registry), actions(registry)) == (1, ["start", "promote"])


@pytest.mark.parametrize("action", ["stop", "promote", "rollback"])
def test_an_end_needs_a_reason(registry: Registry, action: str) -> None:
    call(*START)
    assert "--reason: empty" in str(call("experiment", action, "new-policy", "--reason", " ").exception)
    assert (champion(registry), actions(registry)) == (1, ["start"])


def test_only_a_running_experiment_can_end_and_only_a_policy_be_promoted(registry: Registry) -> None:
    assert "new-policy: not running; running: none" in str(
        call("experiment", "stop", "new-policy", "--reason", "over").exception
    )
    call(*START[:-1], "champion=50,control=50")
    promoted = call("experiment", "promote", "new-policy", "control", "--reason", "why not")
    assert "control has no policy to promote; expected one of champion" in str(promoted.exception)
    assert actions(registry) == ["start"]


def test_status_compares_the_arms(tmp_path: Path) -> None:
    assert "no experiment is running" in str(call("experiment", "status").exception)
    call(*START, "--maturity-minutes", "0")
    write_log(tmp_path, {"champion": 40, "challenger": 50})
    text = call("experiment", "status").stdout
    assert "new-policy: continue; it runs until a person ends it" in text
    assert "challenger    50.0%     2,000      2,000   2.500%" in text
    assert "lift +0.5000% (-" in text
    report = json.loads(call("experiment", "status", "--json").stdout)
    assert report["arms"][1]["goal"]["value"] == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("clicks", "action", "version"),
    [
        ({"champion": 40, "challenger": 140}, "promote", 2),
        ({"champion": 140, "challenger": 40}, "rollback", 1),
        ({"champion": 60, "challenger": 62}, "start", 1),
    ],
)
def test_the_watcher_ends_an_experiment_by_its_rules(
    tmp_path: Path, registry: Registry, clicks: dict[str, int], action: str, version: int
) -> None:
    call(*START, "--until-evidence", "--maturity-minutes", "0")
    write_log(tmp_path, clicks)
    assert call("experiment", "watch", "--once").exit_code == 0
    assert (actions(registry)[-1], champion(registry)) == (action, version)


def test_the_watcher_without_an_experiment_does_nothing(registry: Registry) -> None:
    result = call("experiment", "watch", "--once")
    assert (result.exit_code, result.stdout, actions(registry)) == (0, "", [])
    assert result.stderr == "no experiment is running\n"


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_of_the_page_work(tmp_path: Path, context: StageContext, line: str) -> None:
    assert isinstance(context.registry, MemoryRegistry)
    call(*START, "--maturity-minutes", "0")
    write_log(tmp_path, {"champion": 60, "challenger": 62})
    if line.startswith("adloom experiment start"):
        context.registry.experiments.clear()
    result = call(*shlex.split(line)[1:], *(["--once"] if line.endswith("watch") else []))
    assert result.exit_code == 0, result.output
