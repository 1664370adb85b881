"""What would run and why: which table or parameter differs from the last run, and which tasks that touches."""

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

import adloom
from adloom.config import params
from adloom.config.params import Params
from adloom.config.settings import Settings
from adloom.context import StageContext, open_store
from adloom.errors import ConfigError, DataError
from adloom.kubeflow import compiled_pipelines, plan
from adloom.kubeflow.client.base import PipelineRun
from adloom.kubeflow.plan import PIPELINE, Plan

ROOT = Path(__file__).parents[3]
SHIPPED: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
COMPILED = {
    name: compiled_pipelines.load_pipeline(name, ROOT / "pipelines" / "compiled") for name in compiled_pipelines.NAMES
}


def given(**blocks: dict[str, Any]) -> Params:
    """Return the shipped params, whose data is public, with other values in some blocks."""
    return Params.model_validate({**SHIPPED, **{name: {**SHIPPED.get(name, {}), **b} for name, b in blocks.items()}})


@pytest.fixture
def world(context: StageContext, tmp_path: Path) -> StageContext:
    return replace(context, store=open_store(Settings(home=tmp_path / "home", quiet=True)))


@pytest.fixture
def planned(world: StageContext) -> Plan:
    return plan.build_plan("training", COMPILED["training"], given(), world)


def ran(planned: Plan, state: str = "SUCCEEDED", **arguments: str) -> PipelineRun:
    """Return a run of a plan, with other arguments."""
    told = {**planned.arguments, **arguments}
    return PipelineRun(
        "r1", "title", state, datetime(2026, 11, 1, tzinfo=UTC), told, planned.digest, "by hand", "http://kfp/r1"
    )


def test_a_plan_is_the_pipeline_in_its_place_on_the_sources_as_they_are(planned: Plan) -> None:
    assert planned.name == f"{SHIPPED['project']}-training"
    assert json.loads(planned.arguments["sources"]).keys() == {*params.TABLES, "privacy"}
    assert planned.digest == COMPILED["training"].with_resources(given().pipeline).digest()
    assert planned.tasks["train-gan"] == "train-gan"
    assert planned.tasks["prepare-3"] == "prepare events"
    first, *_, end = planned.tasks
    assert (first, end) == ("snapshot", "finish")


def test_a_tuning_locks_the_table_of_its_stage_alone(world: StageContext) -> None:
    tuning = plan.build_plan("tuning", COMPILED["tuning"], given(tune={"stage": "train_lstm"}), world)
    assert set(json.loads(tuning.arguments["sources"])) - {"privacy"} == {"copy"}


def test_another_image_is_another_pipeline(planned: Plan, world: StageContext) -> None:
    other = plan.build_plan("training", COMPILED["training"], given(pipeline={"image": "adloom@sha256:1"}), world)
    assert list(plan.find_changes(other, ran(planned))) == [PIPELINE]


def test_a_scheduled_run_looks_at_the_sources_itself(world: StageContext) -> None:
    blind = given(ingest={"events": {"uri": "nowhere.csv", "format": "csv"}})
    assert plan.build_plan("training", COMPILED["training"], blind, world, scheduled=True).arguments["sources"] == ""
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        plan.build_plan("training", COMPILED["training"], blind, replace(world, pseudonym_key=b"x" * 16))


def test_a_table_of_users_without_a_key_is_refused_before_anything_runs(world: StageContext, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("user_id\n", encoding="utf-8")
    private = given(ingest={"events": {"uri": str(tmp_path / "orders.csv"), "format": "csv"}})
    with pytest.raises(ConfigError, match="events: private data needs a key"):
        plan.build_plan("training", COMPILED["training"], private, replace(world, pseudonym_key=None))


def test_scoring_looks_at_what_is_to_be_scored(world: StageContext, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="score: nothing to score"):
        plan.build_plan("scoring", COMPILED["scoring"], given(), world)
    source = {"events": {"uri": str(tmp_path / "new.csv"), "format": "csv"}}
    with pytest.raises(ConfigError, match="score.to: data/scored is lost with its pod; expected s3://bucket/prefix"):
        plan.build_plan("scoring", COMPILED["scoring"], given(score=source), world)
    (tmp_path / "new.csv").write_text("user_id\n", encoding="utf-8")
    scored = given(score={"events": {"uri": str(tmp_path / "new.csv"), "format": "csv"}, "to": "s3://shop/scored"})
    made = plan.build_plan("scoring", COMPILED["scoring"], scored, world)
    assert json.loads(made.arguments["sources"]).keys() == {"events", "privacy"}


def test_nothing_changed(planned: Plan) -> None:
    assert plan.find_changes(planned, ran(planned)) == {}
    assert plan.explain_run(planned, ran(planned)) == "nothing changed since run r1"
    again = plan.find_stale_tasks(planned, ran(planned), {})
    assert set(again) == {"look at the sources", "register", "finish"}  # what is never cached


def test_what_changed_is_named_down_to_the_table_and_the_key(planned: Plan, world: StageContext) -> None:
    sources = json.loads(planned.arguments["sources"]) | {"copy": "other", "privacy": "other"}
    before = ran(planned, sources=json.dumps(sources))
    other = plan.build_plan("training", COMPILED["training"], given(train_gan={"epochs": 99, "width": 16}), world)
    assert plan.explain_run(other, before) == (
        "changed since run r1: sources (copy, privacy); train_gan_params (epochs, width)"
    )


def test_a_run_of_a_schedule_tells_nothing_of_its_sources(planned: Plan) -> None:
    assert plan.explain_run(planned, ran(planned, sources="")) == (
        "changed since run r1: sources (it took them as it found them)"
    )


def test_new_rows_of_one_table_leave_the_others_tasks_in_the_cache(planned: Plan) -> None:
    before = ran(planned, sources=json.dumps(json.loads(planned.arguments["sources"]) | {"copy": "other"}))
    again = set(plan.find_stale_tasks(planned, before, {}))
    assert {"prepare copy", "train-lstm", "evaluate"} <= again
    assert not {"prepare events", "train-gan", "train-cnn", "segment"} & again


def test_another_block_touches_its_stage_and_what_follows(planned: Plan, world: StageContext) -> None:
    other = plan.build_plan("training", COMPILED["training"], given(train_cnn={"epochs": 99}), world)
    again = set(plan.find_stale_tasks(other, ran(planned), {}))
    assert {"train-cnn", "train-policy", "evaluate"} <= again  # the policy looks at pictures through the reader
    assert not {"prepare creatives", "train-gan", "train-lstm"} & again


@pytest.mark.parametrize("state", ["RUNNING", "PENDING"])
def test_of_a_run_that_is_going_on_nothing_is_in_the_cache_yet(planned: Plan, state: str) -> None:
    assert plan.find_stale_tasks(planned, ran(planned, state), {}) == list(planned.tasks.values())
    assert plan.find_stale_tasks(planned, None, {}) == list(planned.tasks.values())


def test_what_would_run_is_told_line_by_line(planned: Plan) -> None:
    told = list(plan.format_summary(plan.summarize(planned, ran(planned, train_lstm_params="{}"), {}, "because")))
    assert told[:3] == [
        f"pipeline      {planned.name} {planned.digest[:12]}",
        f"image         adloom-train:{adloom.__version__}",
        "why           because",
    ]
    arguments = {line.split()[1]: line for line in told if line.startswith("argument")}
    assert arguments["train_lstm_params"].endswith("  differs")
    assert arguments["train_gan_params"].endswith("  as in the last run")
    assert told[-2].startswith("likely cached prepare creatives, ")
    assert told[-1].startswith("note          the image has a tag")


def test_other_resources_leave_every_task_in_the_cache_and_another_image_none(
    planned: Plan, world: StageContext
) -> None:
    before, cached = ran(planned), set(plan.find_stale_tasks(planned, ran(planned), {}))
    larger = {"stages": {"train_gan": {"memory": "64Gi", "timeout_minutes": 999}}}
    other = plan.build_plan("training", COMPILED["training"], given(pipeline=larger), world)
    assert list(plan.find_changes(other, before)) == [PIPELINE]
    assert set(plan.find_stale_tasks(other, before, planned.pipeline)) == cached
    assert set(plan.find_stale_tasks(other, before, {})) == set(other.tasks.values())  # nothing to compare with
    image = plan.build_plan("training", COMPILED["training"], given(pipeline={"image": "adloom@sha256:1"}), world)
    assert set(plan.find_stale_tasks(image, before, planned.pipeline)) == set(image.tasks.values())


def test_another_program_of_one_task_runs_it_and_what_follows(planned: Plan) -> None:
    before = copy.deepcopy(planned.pipeline)
    before["deploymentSpec"]["executors"]["exec-train-cnn"]["container"]["args"].append("--old")
    again = set(plan.find_stale_tasks(replace(planned, digest="new"), ran(planned), before))
    assert {"train-cnn", "evaluate"} <= again
    assert not {"prepare creatives", "train-gan", "train-lstm"} & again


def test_without_a_run_to_compare_with_no_argument_is_said_to_differ(planned: Plan) -> None:
    told = plan.summarize(planned, None, {}, "first")
    assert {known["differs"] for known in told["arguments"].values()} == {None}
    assert told["likely cached"] == []


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "1"])
def test_an_argument_that_is_no_object_differs_as_a_whole(planned: Plan, text: str) -> None:
    assert plan.find_changes(planned, ran(planned, gate=text)) == {"gate": []}
