"""Starting, watching and scheduling runs, against a server in memory that moves when it is waited for."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adloom.errors import ConfigError
from adloom.kubeflow import schedule, submit
from adloom.kubeflow.client.base import PipelineRun
from adloom.kubeflow.client.memory import MemoryKubeflowClient
from adloom.kubeflow.plan import Plan, find_changes
from adloom.kubeflow.submit import TriggerResult

TASK = {"taskInfo": {"name": "train-gan"}, "componentRef": {"name": "c"}}
SPEC: dict[str, Any] = {"components": {"c": {}}, "root": {"dag": {"tasks": {"train-gan": TASK}}}}
PLAN = Plan("shop-training", SPEC, "text", "d1", "image", {"project": "shop", "sources": "{}"})


def no_pause(_seconds: float) -> None:
    pass


@pytest.fixture
def kubeflow() -> MemoryKubeflowClient:
    return MemoryKubeflowClient()


def test_the_last_run_is_the_newest_that_succeeded_or_is_going_on(kubeflow: MemoryKubeflowClient) -> None:
    assert submit.find_last_run(PLAN, kubeflow) is None
    good, bad, gone = (submit.start_run(PLAN, kubeflow, "by hand").run_id for _ in range(3))
    for run_id, state in ((good, "SUCCEEDED"), (bad, "FAILED"), (gone, "CANCELED")):
        kubeflow.advance(run_id, state)
    found = submit.find_last_run(PLAN, kubeflow)
    assert found is not None
    assert found.run_id == good
    going = submit.start_run(PLAN, kubeflow, "by hand").run_id
    found = submit.find_last_run(PLAN, kubeflow)
    assert found is not None
    assert found.run_id == going


def test_equal_runs_have_equal_titles_and_others_others(kubeflow: MemoryKubeflowClient) -> None:
    plans = [PLAN, PLAN, replace(PLAN, digest="d2"), replace(PLAN, arguments={**PLAN.arguments, "sources": ""})]
    first, again, other_pipeline, other_arguments = (submit.start_run(p, kubeflow, "why").title for p in plans)
    assert first == again
    assert len({first, other_pipeline, other_arguments}) == 3


def test_a_long_reason_is_cut_to_what_older_servers_keep(kubeflow: MemoryKubeflowClient) -> None:
    assert submit.start_run(PLAN, kubeflow, "x" * 1000).reason == "x" * 254 + "…"


def test_the_run_is_told_its_reason_which_makes_no_run_another(kubeflow: MemoryKubeflowClient) -> None:
    first = submit.start_run(PLAN, kubeflow, "new orders")
    assert first.arguments == {**PLAN.arguments, "reason": "new orders"}
    assert submit.start_run(PLAN, kubeflow, "by hand").title == first.title
    assert find_changes(PLAN, first) == {}


def triggered(
    kubeflow: MemoryKubeflowClient, plan: Plan = PLAN, minutes: int = 0, now: int = 1000, cause: str = ""
) -> TriggerResult:
    """Trigger at a second; the server in memory counts runs as seconds."""
    return submit.trigger_run(
        plan, kubeflow, timedelta(minutes=minutes), datetime.fromtimestamp(now, UTC), no_pause, cause
    )


def test_a_trigger_starts_a_run_for_a_reason_only(kubeflow: MemoryKubeflowClient) -> None:
    first = triggered(kubeflow, cause="webhook")
    assert (first.started, first.note) == (True, "webhook: no run has succeeded or is going on")
    again = triggered(kubeflow)
    assert (again.started, again.run.run_id) == (False, first.run.run_id)
    other = triggered(kubeflow, replace(PLAN, digest="d2"))
    assert (other.started, other.run.reason) == (True, "changed since run run-1: the pipeline or its image")


def test_a_failed_run_is_tried_again_by_the_next_trigger(kubeflow: MemoryKubeflowClient) -> None:
    first = triggered(kubeflow).run.run_id
    kubeflow.advance(first, "FAILED")
    again = triggered(kubeflow)
    assert again.started
    assert again.run.run_id != first


def test_runs_cool_down_failed_ones_too(kubeflow: MemoryKubeflowClient) -> None:
    first = triggered(kubeflow).run  # created in second 1
    kubeflow.advance(first.run_id, "FAILED")
    held = triggered(kubeflow, minutes=10, now=600)
    assert (held.started, held.run.run_id) == (False, first.run_id)
    assert held.until == datetime.fromtimestamp(601, UTC)
    assert held.note == "run run-1 started less than 10 minutes ago (pipeline.cooldown_minutes)"
    assert triggered(kubeflow, minutes=10, now=601).started


@pytest.mark.parametrize("before", [True, False])
def test_a_storm_of_equal_triggers_is_one_run(before: bool) -> None:
    kubeflow, rivals = Racing(before=before), []
    kubeflow.rival = lambda: rivals.append(triggered(kubeflow, cause="rival"))
    mine = triggered(kubeflow, cause="mine")
    assert rivals[0].run.run_id == mine.run.run_id
    assert (mine.started, rivals[0].started) == (not before, before)
    assert len(list(kubeflow.list_runs("shop-training"))) == 1
    if before:
        assert mine.note == "started by an equal trigger, rival: no run has succeeded or is going on"


def test_a_key_starts_one_run_however_often_it_is_given(kubeflow: MemoryKubeflowClient) -> None:
    first, started = submit.start_run_once(PLAN, kubeflow, "by hand", "2026-11-23", no_pause)
    again, restarted = submit.start_run_once(PLAN, kubeflow, "by hand", "2026-11-23", no_pause)
    other, _ = submit.start_run_once(PLAN, kubeflow, "by hand", "2026-11-24", no_pause)
    assert (started, restarted) == (True, False)
    assert again == first
    assert other.run_id != first.run_id


@dataclass
class Racing(MemoryKubeflowClient):
    """A server on which, between a look and a start, another starts what we start."""

    rival: Callable[[], object] = field(default=lambda: None)
    before: bool = True

    def start_run(self, order: Any) -> PipelineRun:
        rival, self.rival = self.rival, lambda: None
        if self.before:
            rival()
        mine = super().start_run(order)
        if not self.before:
            rival()
        return mine


@pytest.mark.parametrize("before", [True, False])
def test_of_two_triggers_at_the_same_time_the_older_run_stays(before: bool) -> None:
    kubeflow, rivals = Racing(before=before), []
    kubeflow.rival = lambda: rivals.append(submit.start_run_once(PLAN, kubeflow, "rival", "k", no_pause))
    mine, started = submit.start_run_once(PLAN, kubeflow, "mine", "k", no_pause)
    ((rival, rival_started),) = rivals
    assert rival.run_id == mine.run_id
    assert (started, rival_started) == (not before, before)
    assert [run.run_id for run in kubeflow.list_runs("shop-training")] == [mine.run_id]


@pytest.mark.parametrize("key", ["", " ", "a b", "a+b", "-a", "x" * 65, "ä", "a\n"])
def test_what_is_no_key_is_refused(kubeflow: MemoryKubeflowClient, key: str) -> None:
    with pytest.raises(ConfigError, match="--idempotency-key"):
        submit.start_run_once(PLAN, kubeflow, "by hand", key, no_pause)
    assert kubeflow.texts == {}


NIGHTLY = schedule.parse("30 3 * * *")


def test_a_schedule_is_made_once_and_replaced_when_it_would_run_something_else(kubeflow: MemoryKubeflowClient) -> None:
    made, done = submit.ensure_schedule(PLAN, kubeflow, NIGHTLY)
    assert (made.title, made.cron, done) == ("shop-training 30 3 * * *", "0 30 3 * * *", "made")
    assert submit.ensure_schedule(PLAN, kubeflow, NIGHTLY) == (made, "is as it should be")
    other, done = submit.ensure_schedule(replace(PLAN, digest="d2"), kubeflow, NIGHTLY)
    assert done.startswith("replaced")
    assert kubeflow.list_schedules("shop-training") == [other]
    submit.ensure_schedule(PLAN, kubeflow, schedule.parse("0 12 * * *"))
    assert len(kubeflow.list_schedules("shop-training")) == 2


def test_a_paused_schedule_stays_paused_when_it_is_replaced(kubeflow: MemoryKubeflowClient) -> None:
    made, _ = submit.ensure_schedule(PLAN, kubeflow, NIGHTLY)
    kubeflow.set_enabled(made.schedule_id, enabled=False)
    assert not submit.ensure_schedule(replace(PLAN, digest="d2"), kubeflow, NIGHTLY)[0].on
    assert [schedule.on for schedule in kubeflow.list_schedules("shop-training")] == [False]


def test_a_schedule_is_found_by_its_title_or_the_beginning_of_its_id(kubeflow: MemoryKubeflowClient) -> None:
    night, _ = submit.ensure_schedule(PLAN, kubeflow, NIGHTLY)
    submit.ensure_schedule(PLAN, kubeflow, schedule.parse("0 12 * * *"))
    assert submit.find_schedule(night.title, ["shop-training"], kubeflow) == night
    assert submit.find_schedule(night.schedule_id, ["shop-scoring", "shop-training"], kubeflow) == night
    for name, said in (("schedule-", "names several schedules"), ("x", "names no schedule; known: 'shop-training 30")):
        with pytest.raises(ConfigError, match=said):
            submit.find_schedule(name, ["shop-training"], kubeflow)
