"""`adloom submit`, `runs` and `schedules` as a user calls them, against a stand-in for Kubeflow Pipelines."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from tests.support import kfp_server, kubernetes_server
from tests.support.kfp_server import StandIn
from tests.support.kubernetes_server import NAMESPACE

from adloom.cli.main import cli
from adloom.config.params import load
from adloom.config.settings import Settings
from adloom.context import build_context
from adloom.errors import AdloomError, ConfigError, DataError
from adloom.kubeflow import compiled_pipelines, plan, progress
from adloom.kubeflow.client.base import PipelineRun, RunRequest
from adloom.kubeflow.client.http import HttpKubeflowClient
from adloom.kubeflow.submit import start_run_once

ROOT = Path(__file__).parents[2]
COMPILED = ROOT / "pipelines" / "compiled"
RUNS = "/v2beta1/runs"
PAGES = "http://pages.example"
Adloom = Callable[..., Result]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A server, and the working folder of a user of it: copy and its params."""
    (tmp_path / "lines.csv").write_text("text\nwarm wool\n", encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values |= {"project": "shop", "ingest": {"copy": {"uri": "lines.csv", "format": "csv"}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with kfp_server.serving() as stand_in:
        stand_in.token = "a-token"
        monkeypatch.setenv("ADLOOM_KFP_ENDPOINT", stand_in.url)
        monkeypatch.setenv("ADLOOM_KFP_TOKEN", "a-token")
        monkeypatch.setenv("ADLOOM_KFP_UI", PAGES)
        yield stand_in


@pytest.fixture
def adloom(stand_in: StandIn) -> Adloom:
    """Return a function that calls a command; runs of the server end as soon as they are started."""

    def call(*words: str) -> Result:
        where = ["--compiled", str(COMPILED)] if words[0] == "submit" else []
        return CliRunner().invoke(cli, [*words, *where])

    stand_in.after = lambda _, path: end(stand_in, "SUCCEEDED") if RUNS in path else None
    return call


def end(stand_in: StandIn, state: str, **said: str) -> None:
    for run_id, run in stand_in.resources["runs"].items():
        if run.state == "PENDING":
            stand_in.advance(run_id, state, **said)


def change_params(**blocks: dict[str, Any]) -> None:
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    for name, block in blocks.items():
        values.setdefault(name, {}).update(block)
    Path("params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


def test_submit_runs_the_pipeline_and_waits(adloom: Adloom, stand_in: StandIn) -> None:
    done = adloom("submit", "training")
    assert done.exit_code == 0, done.output
    ((run_id, run),) = stand_in.resources["runs"].items()
    assert f"run {run_id} started: by hand\n{PAGES}/#/runs/details/{run_id}\n" in done.stdout
    assert "run                      SUCCEEDED" in done.stdout
    assert run.description == "by hand"
    (version,) = stand_in.resources["versions"].values()
    placed = compiled_pipelines.load_pipeline("training", COMPILED).with_resources(load(Path("params.yaml")).pipeline)
    assert version.name == placed.digest()
    assert version.pipeline_spec == {"pipeline_spec": placed.pipeline, "platform_spec": placed.platform}


def test_equal_pipelines_are_uploaded_once(adloom: Adloom, stand_in: StandIn) -> None:
    for _ in range(2):
        assert adloom("submit", "training", "--no-wait").exit_code == 0
    change_params(train_gan={"epochs": 9})  # an argument, not a pipeline
    assert adloom("submit", "training", "--no-wait").exit_code == 0
    assert len([path for _, path in stand_in.changes if path.endswith("/upload_version")]) == 1
    change_params(pipeline={"image": "adloom@sha256:1"})
    assert adloom("submit", "training", "--no-wait").exit_code == 0
    assert len(stand_in.resources["versions"]) == 2


def test_a_failed_run_is_exit_code_one_with_the_task_why_and_where(adloom: Adloom, stand_in: StandIn) -> None:
    stand_in.after = lambda _, path: end(stand_in, "FAILED", why="OOM", prepare_2="FAILED") if RUNS in path else None
    failed = adloom("submit", "training")
    assert isinstance(failed.exception, AdloomError)
    assert failed.exception.exit_code == 1
    (run_id,) = stand_in.resources["runs"]
    assert str(failed.exception) == (f"run {run_id} failed at prepare copy: OOM; {PAGES}/#/runs/details/{run_id}")
    assert "prepare copy             FAILED" in failed.stdout


def test_a_task_whose_driver_died_is_named(adloom: Adloom, stand_in: StandIn) -> None:
    stand_in.after = lambda _, path: end(stand_in, "FAILED", driver="evaluate") if RUNS in path else None
    failed = adloom("submit", "training")
    assert "failed at evaluate (its driver): the server does not say why" in str(failed.exception)
    assert "evaluate                 FAILED" in failed.stdout


def test_a_run_whose_tasks_the_server_stops_telling_of_is_not_told_with_a_count(
    adloom: Adloom, stand_in: StandIn
) -> None:
    stand_in.after = lambda _, path: end(stand_in, "SUCCEEDED", train_gan="RUNNING") if RUNS in path else None
    done = adloom("submit", "training")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == progress.INCOMPLETE
    assert not re.search(r"\d/\d", done.stdout)  # no count such as 3/21; the run's id may begin with a digit


def test_what_the_server_does_not_tell_is_asked_of_the_namespace(
    adloom: Adloom, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADLOOM_KFP_NAMESPACE", NAMESPACE)

    def fail(_method: str, path: str) -> None:
        if RUNS in path:
            end(stand_in, "FAILED", register="RUNNING")
            (run,) = stand_in.resources["runs"]
            node = {"workflows.argoproj.io/node-name": "training-x.root.exit-handler-1.register.executor"}
            pod = {"name": "p", "labels": {"pipeline/runid": run}, "annotations": node}
            cluster.stages.append({"metadata": pod, "status": {"phase": "Failed", "reason": "Evicted"}})

    stand_in.after = fail
    with kubernetes_server.serving() as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path)))
        failed = adloom("submit", "training")
    assert progress.INCOMPLETE in failed.stdout
    assert "failed at register: Evicted; " in str(failed.exception)


def test_without_pages_no_link_is_printed(adloom: Adloom, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADLOOM_KFP_UI")
    said = [
        adloom(*words) for words in (["submit", "training"], ["submit", "training", "--no-wait", "--json"], ["runs"])
    ]
    assert [done.exit_code for done in said] == [0, 0, 0]
    assert "#/runs" not in "".join(done.stdout for done in said)
    assert json.loads(said[1].stdout)["url"] is None
    stand_in.after = lambda _, path: end(stand_in, "FAILED", message="no quota") if RUNS in path else None
    assert str(adloom("submit", "training").exception).endswith(" failed: no quota")


def test_if_changed_runs_only_for_a_reason_and_names_it(adloom: Adloom, stand_in: StandIn) -> None:
    def submit() -> dict[str, Any]:
        said = adloom("submit", "training", "--if-changed", "--no-wait", "--json")
        assert said.exit_code == 0, said.output
        answer: dict[str, Any] = json.loads(said.stdout)
        return answer

    first = submit()
    assert (first["started"], first["note"]) == (True, "no run has succeeded or is going on")
    again = submit()
    assert (again["started"], again["run_id"]) == (False, first["run_id"])
    assert again["note"] == f"nothing changed since run {first['run_id']}"
    Path("lines.csv").write_text("text\nwarm wool\nred wool\n", encoding="utf-8")
    change_params(train_lstm={"epochs": 8})
    third = submit()
    assert third["note"] == f"changed since run {first['run_id']}: sources (copy); train_lstm_params (epochs)"
    kept = stand_in.resources["runs"][third["run_id"]]
    assert kept.description == kept.runtime_config.parameters["reason"] == third["note"]
    stand_in.advance(third["run_id"], "FAILED")
    Path("lines.csv").write_text("text\nwarm wool\n", encoding="utf-8")
    assert submit()["note"] == f"changed since run {first['run_id']}: train_lstm_params (epochs)"
    change_params(pipeline={"cooldown_minutes": 60}, train_lstm={"epochs": 10})
    cooling = submit()
    assert not cooling["started"]
    assert cooling["note"].endswith("started less than 60 minutes ago (pipeline.cooldown_minutes)")


def test_the_shipped_pipelines_are_run_where_a_folder_has_none(adloom: Adloom, stand_in: StandIn) -> None:
    done = CliRunner().invoke(cli, ["submit", "training", "--no-wait"])
    assert done.exit_code == 0, done.output
    assert len(stand_in.resources["runs"]) == 1


def test_a_dry_run_tells_all_and_changes_nothing(adloom: Adloom, stand_in: StandIn) -> None:
    def dry() -> str:
        said = adloom("submit", "training", "--dry-run")
        assert said.exit_code == 0, said.output
        return said.stdout

    assert "why           no run has succeeded or is going on\n" in dry()
    assert stand_in.changes == []
    adloom("submit", "training")
    Path("lines.csv").write_text("text\nother\n", encoding="utf-8")
    before = list(stand_in.changes)
    told = dry()
    assert ": sources (copy)\n" in told
    assert "runs          look at the sources, prepare copy, " in told
    assert stand_in.changes == before


def test_other_resources_alone_leave_tasks_likely_cached(adloom: Adloom) -> None:
    assert adloom("submit", "training").exit_code == 0
    change_params(pipeline={"stages": {"train_gan": {"memory": "64Gi"}}})
    told = adloom("submit", "training", "--dry-run").stdout
    assert "the pipeline or its image\n" in told
    assert "runs          look at the sources, register, finish\n" in told


def test_a_dry_run_needs_no_server(adloom: Adloom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADLOOM_KFP_ENDPOINT")
    said = adloom("submit", "training", "--dry-run")
    assert said.exit_code == 0
    assert "not compared with the last run: no server of Kubeflow Pipelines is configured; " in said.stdout


class Meeting(HttpKubeflowClient):
    """A server that starts a run only when another is about to be started, too."""

    both = threading.Barrier(2, timeout=20)

    def start_run(self, order: RunRequest) -> PipelineRun:
        self.both.wait()
        return super().start_run(order)


def test_two_triggers_at_the_same_time_make_one_run(stand_in: StandIn) -> None:
    settings, params = Settings(), load(Path("params.yaml"))
    made = plan.build_plan(
        "training", compiled_pipelines.load_pipeline("training", COMPILED), params, build_context(settings, "shop")
    )

    def trigger(_: int) -> tuple[PipelineRun, bool]:
        return start_run_once(made, Meeting(settings), "by hand", "monday", time.sleep)

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(trigger, range(2)))
    assert {run.run_id for run, _ in results} == set(stand_in.resources["runs"])
    assert sorted(started for _, started in results) == [False, True]


def test_a_key_given_again_tells_of_its_run(adloom: Adloom, stand_in: StandIn) -> None:
    for _ in range(2):
        said = adloom("submit", "training", "--idempotency-key", "nightly-2026-11-23", "--no-wait")
        assert said.exit_code == 0, said.output
    (run_id,) = stand_in.resources["runs"]
    assert said.stdout.startswith(f"run {run_id} SUCCEEDED: its key was ")


def test_ctrl_c_leaves_the_run_going_and_says_so(stand_in: StandIn) -> None:
    command = [sys.executable, "-m", "adloom", "submit", "training", "--compiled", str(COMPILED)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert " started: by hand" in process.stdout.readline()
        assert "PENDING" in "".join(process.stdout.readline() for _ in range(2))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    ((run_id, run),) = stand_in.resources["runs"].items()
    assert process.returncode == 130
    assert said == f"adloom: stopped waiting; run {run_id} goes on: {PAGES}/#/runs/details/{run_id}\n"
    assert run.state == "PENDING"


def test_schedules_are_made_listed_paused_resumed_and_deleted(adloom: Adloom, stand_in: StandIn) -> None:
    made = adloom("submit", "training", "--schedule", "30 3 * * mon")
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("schedule shop-training 30 3 * * MON: made; next 20")
    ((schedule_id, kept),) = stand_in.resources["recurringruns"].items()
    assert kept.trigger.cron_schedule.cron == "0 30 3 * * MON"
    assert kept.runtime_config.parameters["sources"] == ""
    title = "shop-training 30 3 * * MON"
    for action, status in (("pause", "DISABLED"), ("resume", "ENABLED")):
        assert adloom("schedules", action, title).exit_code == 0
        assert kept.status == status
    adloom("schedules", "pause", title)
    paused = adloom("submit", "training", "--schedule", "30 3 * * mon").stdout
    assert f'is as it should be; it is paused, `adloom schedules resume "{title}"`' in paused
    assert "next" not in paused
    adloom("schedules", "resume", title)
    assert adloom("schedules").stdout == f"{schedule_id}  on      {title}\n"
    (listed,) = json.loads(adloom("schedules", "list", "--json").stdout)
    assert (listed["title"], listed["on"]) == (title, True)
    assert adloom("schedules", "delete", schedule_id[:8]).exit_code == 0
    assert stand_in.resources["recurringruns"] == {}


def test_runs_lists_who_what_why_and_where_of_both_pipelines(adloom: Adloom, stand_in: StandIn) -> None:
    change_params(score={"creatives": {"uri": "lines.csv", "format": "csv"}})
    adloom("submit", "training", "--no-wait")
    adloom("submit", "scoring", "--no-wait")
    adloom("submit", "training", "--schedule", "30 3 * * *")
    (schedule_id,) = stand_in.resources["recurringruns"]
    stand_in.fire(schedule_id)
    listed = json.loads(adloom("runs", "--json").stdout)
    assert {run["reason"] for run in listed} == {"by hand", "schedule 30 3 * * *"}
    assert {run["digest"] for run in listed} == {version.name for version in stand_in.resources["versions"].values()}
    shown = adloom("runs", "--limit", "1").stdout.splitlines()
    assert len(shown) == 2
    assert shown[1].strip() in {run["url"] for run in listed}


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["training", "--schedule", "0 25 * * *"], ConfigError, '--schedule "0 25 * * *": hour "25"'),
        (["training", "--schedule", ""], ConfigError, '--schedule "": 0 fields'),
        (
            ["training", "--schedule", "0 3 * * *", "--if-changed"],
            ConfigError,
            "--schedule: cannot go with",
        ),
        (["training", "--idempotency-key", "a b"], ConfigError, '--idempotency-key "a b": expected up to 64 letters'),
        (["training", "--idempotency-key", ""], ConfigError, '--idempotency-key "": expected up to 64 letters'),
        (["scoring"], ConfigError, "score: nothing to score"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_is_started(
    adloom: Adloom, stand_in: StandIn, words: list[str], kind: type[AdloomError], said: str
) -> None:
    refused = adloom("submit", *words)
    assert isinstance(refused.exception, kind)
    assert str(refused.exception).startswith(said)
    assert stand_in.changes == []


def test_a_missing_source_or_pipeline_is_said_and_nothing_is_started(adloom: Adloom, stand_in: StandIn) -> None:
    missing = CliRunner().invoke(cli, ["submit", "training", "--compiled", "nowhere"])
    assert isinstance(missing.exception, ConfigError)
    assert "nowhere/training.yaml: no such file" in str(missing.exception)
    Path("lines.csv").unlink()
    gone = adloom("submit", "training")
    assert isinstance(gone.exception, DataError)
    assert "lines.csv" in str(gone.exception)
    assert stand_in.requests == []


def test_a_wrong_token_is_one_line_and_exit_code_two(adloom: Adloom, stand_in: StandIn) -> None:
    stand_in.token = "another token"
    for words in (["submit", "training"], ["runs"], ["schedules"]):
        refused = adloom(*words)
        assert isinstance(refused.exception, ConfigError)
        assert "the token is refused; set ADLOOM_KFP_TOKEN" in str(refused.exception)
