"""The compiled pipelines run for real, each task in a process of its own, against MLflow in a database."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import shop
from tests.support.webhook import webhook

from adloom.config import params
from adloom.datasets.run_record import read_record
from adloom.kubeflow import compiled_pipelines
from adloom.storage import manifest
from adloom.tracking.mlflow import MlflowTracker
from adloom.tracking.mlflow_server import MlflowConnection

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef0123456789abcdef"
RUN = "5f1d0c3e-a-run-of-the-pipeline"
PROGRAM = ROOT / "tests/support/run_pipeline.py"
IMPORTS = {"training": ["sklearn.cluster"], "tuning": ["pytorch_lightning"], "scoring": []}  # that several tasks share


class Project:
    """A folder in which a pipeline runs."""

    def __init__(self, folder: Path, values: dict[str, Any]) -> None:
        self.folder = folder
        self.params = params.load(shop.write_params(folder, values))
        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.latest = folder

    def environment(self, **more: str) -> dict[str, str]:
        own = {"ADLOOM_HOME": f"{self.folder}/.adloom", "MLFLOW_TRACKING_URI": self.uri, "KFP_RUN_ID": RUN}
        return {**os.environ, "CI": "true", "ADLOOM_PSEUDONYM_KEY": KEY, **own, **more}

    def run(
        self, pipeline: str, environment: dict[str, str] | None = None, **arguments: str
    ) -> subprocess.CompletedProcess[str]:
        given = compiled_pipelines.build_arguments(pipeline, self.params, None) | arguments
        (self.folder / "arguments.json").write_text(json.dumps(given), encoding="utf-8")
        before = {*self.folder.glob("kfp/*")}
        (self.folder / "pipeline.yaml").write_text(
            impatient(ROOT / compiled_pipelines.FOLDER / f"{pipeline}.yaml"), encoding="utf-8"
        )
        ran = subprocess.run(
            [sys.executable, PROGRAM, *IMPORTS[pipeline]],
            cwd=self.folder,
            env=self.environment(**environment or {}),
            capture_output=True,
            text=True,
            check=False,
        )
        [self.latest] = {*self.folder.glob("kfp/*")} - before
        return ran

    def output(self, task: str, name: str) -> Any:
        """What a task of the latest run gave out under a name: an artifact with its metadata, or a value."""
        told = json.loads((self.latest / task / "executor_output.json").read_text(encoding="utf-8"))
        if name in told.get("artifacts", {}):
            return told["artifacts"][name]["artifacts"][0]
        return told["parameterValues"][name]

    @property
    def tracker(self) -> MlflowTracker:
        return MlflowTracker(self.uri, self.params.project)


def impatient(path: Path) -> str:
    """A compiled pipeline that tries nothing again: the waits between tries are minutes."""
    compiled = compiled_pipelines.read_pipeline(path)
    for component in compiled.pipeline["components"].values():
        for task in component.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
    return compiled.to_yaml()


def only_events() -> dict[str, Any]:
    """The shop's params with one table: what needs another is skipped."""
    values = shop.params()
    values["ingest"] = {"events": values["ingest"]["events"]}
    return values


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a webhook, and what it was told."""
    with webhook() as (url, messages):
        yield f"{url}?secret=1", messages


Told = tuple[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, told: Told) -> Project:
    """A project whose training pipeline has run, on orders alone."""
    folder = tmp_path_factory.mktemp("trained")
    shop.write_shop(folder, pictures=1)
    project = Project(folder, only_events())
    ran = project.run("training", {"ADLOOM_WEBHOOK_URL": told[0]})
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    return project


def test_the_pipeline_tells_what_it_made(trained: Project) -> None:
    audience = trained.output("segment", "audience")
    folder = Path(audience["uri"])
    assert audience["metadata"]["digest"] == manifest.digest(folder)
    assert audience["metadata"]["rows_users"] == manifest.read(folder).rows["users"]
    assert trained.output("evaluate", "metrics")["metadata"]["audience_segment_rate_auc"] > 0
    assert "<html" in Path(trained.output("evaluate", "page")["uri"]).read_text(encoding="utf-8")


def test_what_has_no_table_is_skipped_and_the_rest_goes_on(trained: Project) -> None:
    assert trained.output("train-gan", "gan")["metadata"]["skipped"] == "no source: ingest.creatives is not given"
    verdicts = trained.output("register", "Output")
    assert (verdicts["gan.verdict"], verdicts["audience.champion"]) == ("skipped", 1)


def test_one_run_of_the_pipeline_is_one_parent_with_a_child_per_training(trained: Project) -> None:
    server = MlflowConnection(trained.uri, trained.params.project)
    runs = server.client.search_runs([server.experiment_id()])
    parents = [run for run in runs if run.data.tags.get("kfp_run") == RUN]
    assert len(parents) == 1
    assert parents[0].info.status == "FINISHED"
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    by_name = {run.info.run_name: run.info.run_id for run in children}
    assert sorted(by_name) == ["recommend", "segment"]
    assert by_name["segment"] == trained.output("segment", "audience")["metadata"]["mlflow_run"]
    record = read_record(parents[0].info.run_id, trained.tracker)
    assert record.params["project"] == "shop"
    assert record.artifacts["models/audience"] == trained.output("segment", "audience")["metadata"]["digest"]
    assert parents[0].data.tags["dataset"] == record.dataset == trained.output("register", "Output")["dataset"]


def test_the_webhook_is_told_how_it_ended(trained: Project, told: Told) -> None:
    assert {"project": "shop", "run": RUN, "state": "FINISHED", "message": "the run succeeded"}.items() <= told[1][
        0
    ].items()


def test_other_sources_than_the_run_was_started_for_fail_it_and_it_says_so(trained: Project, told: Told) -> None:
    address, messages = told
    other = json.dumps({"events": "0" * 64})
    again = Project(trained.folder, only_events())
    ran = again.run("training", {"ADLOOM_WEBHOOK_URL": address, "KFP_RUN_ID": "another run"}, sources=other)
    assert ran.returncode != 0
    assert "sources: events changed since this pipeline scanned its sources" in ran.stdout + ran.stderr
    assert messages[-1]["state"] == "FAILED"
    assert messages[-1]["message"]


def test_the_champion_scores_new_orders(trained: Project, tmp_path: Path) -> None:
    values = only_events()
    values["score"] = {"events": values["ingest"]["events"], "to": "s3://shop/scored"}
    scoring = Project(trained.folder, values)
    here = scoring.params.score.model_copy(update={"to": str(tmp_path / "scored")})
    ran = scoring.run("scoring", score_params=here.to_json())
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    made = manifest.verify(tmp_path / "scored")
    assert made.facts["audience_version"] == "1"
    assert made.rows["segments"] > 0
    assert scoring.output("score", "scored")["metadata"]["to"] == str(tmp_path / "scored")
    assert scoring.output("drift", "report")["metadata"].keys() == set()  # no drift.reference, so no comparison


def test_trials_of_a_stage_run_apart_and_are_compared(tmp_path: Path) -> None:
    shop.write_shop(tmp_path, pictures=1)
    values = shop.params() | {"tune": {"stage": "train_music", "trials": 2, "epochs": 1}}
    tuned = Project(tmp_path, values)
    ran = tuned.run("tuning")
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert tuned.output("prepare", "rows")["metadata"]["skipped"] == "no source: ingest.creatives is not given"
    page = Path(tuned.output("summarize-trials", "page")["uri"]).read_text(encoding="utf-8")
    assert "Best of 2 trials, for params.yaml:\ntrain_music: {" in page
    server = MlflowConnection(tuned.uri, tuned.params.project)
    runs = server.client.search_runs([server.experiment_id()])
    assert {run.info.run_name for run in runs} >= {f"train_music trial {number}" for number in range(2)}


FINISH = """
from adloom.kubeflow.component_runtime import finish
from adloom.retry import RetryPolicy
finish("shop", "run", "SUCCEEDED", None, RetryPolicy(pauses=()))
"""


def test_a_killed_webhook_and_a_dead_mlflow_do_not_fail_the_end(tmp_path: Path) -> None:
    environment = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "ADLOOM_WEBHOOK_URL": "http://127.0.0.1:9/x?secret"}
    ended = subprocess.run(
        [sys.executable, "-c", FINISH],
        cwd=tmp_path,
        env={**os.environ, **environment, "KFP_RUN_ID": RUN},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "MLflow at http://127.0.0.1:9: cannot end the run of" in ended.stderr
    assert "webhook at 127.0.0.1: Connection refused; " in ended.stderr
    assert "secret" not in ended.stderr
