"""`adloom submit`: one run of a pipeline on Kubeflow, or a schedule of runs."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from adloom.errors import ConfigError
from adloom.kubeflow.client.base import (
    UNSUCCESSFUL_STATES,
    KubeflowClient,
    PipelineRun,
    RunClient,
    RunRequest,
    Schedule,
    ScheduleClient,
)
from adloom.kubeflow.plan import REASON, Plan, explain_run, find_changes
from adloom.kubeflow.schedule import Cron

LOOK_BACK = 200  # runs looked through for one that succeeded
SETTLE = 2.0  # seconds in which a run that another started at the same time is listed; the server's clock has seconds
MAX_REASON = 255  # characters of a reason that are kept: a line in the server's list of runs
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")

Sleep = Callable[[float], None]


def find_last_run(plan: Plan, runs: RunClient) -> PipelineRun | None:
    """Return the newest run that succeeded or is going on."""
    return next(
        (run for run in islice(runs.list_runs(plan.name), LOOK_BACK) if run.state not in UNSUCCESSFUL_STATES), None
    )


def build_request(plan: Plan, runs: RunClient, title: str, reason: str) -> RunRequest:
    """Return what to run, its pipeline uploaded unless an equal one is there already."""
    version = runs.upload_pipeline(plan.name, plan.digest, plan.text)
    kept = reason if len(reason) <= MAX_REASON else f"{reason[: MAX_REASON - 1]}…"
    return RunRequest(plan.name, title, version, {**plan.arguments, REASON: kept}, kept)


def start_run(plan: Plan, runs: RunClient, reason: str) -> PipelineRun:
    """Start a run; equal runs have equal titles."""
    return runs.start_run(build_request(plan, runs, f"{plan.name} {_content(plan)[:8]}", reason))


def start_run_once(plan: Plan, runs: RunClient, reason: str, key: str, pause: Sleep) -> tuple[PipelineRun, bool]:
    """
    Return the one run of a key, and whether it was started here.

    The server knows no keys: a run bears its key in its title, and of two that were started at the same time the older
    stays. Both may stay when the server takes longer than SETTLE to list what it was given. Raises ConfigError when the
    key is none.
    """
    if not KEY.fullmatch(key):
        raise ConfigError(f'--idempotency-key "{key}": expected up to 64 letters, digits, dots, colons, dashes')
    title = f"{plan.name} key {key}"
    if found := list(runs.list_runs(plan.name, title)):
        return _oldest(found), False
    mine = runs.start_run(build_request(plan, runs, title, reason))
    pause(SETTLE)
    oldest = _oldest([mine, *runs.list_runs(plan.name, title)])
    if oldest.run_id != mine.run_id:
        runs.delete_run(mine.run_id)
    return oldest, oldest.run_id == mine.run_id


@dataclass(frozen=True)
class TriggerResult:
    """What became of a trigger."""

    run: PipelineRun
    started: bool
    note: str  # why the run was started, or why no other was
    until: datetime | None = None  # no other starts before; None unless runs have to cool down


def trigger_run(
    plan: Plan, runs: RunClient, cooldown: timedelta, now: datetime, pause: Sleep, cause: str = ""
) -> TriggerResult:
    """
    Start a run if there is a reason to: something changed since the last one, whose start is `cooldown` ago.

    Equal triggers at the same time start one run, for they see the same newest run and so have the same key. One whose
    run failed is no reason to wait for a change.
    """
    newest = next(iter(runs.list_runs(plan.name)), None)
    before = find_last_run(plan, runs)
    if before and not find_changes(plan, before):
        return TriggerResult(before, started=False, note=explain_run(plan, before))
    if newest and (until := newest.created + cooldown) > now:
        note = f"run {newest.run_id} started less than {cooldown // timedelta(minutes=1)} minutes ago"
        return TriggerResult(newest, started=False, note=f"{note} (pipeline.cooldown_minutes)", until=until)
    reason = ": ".join(filter(None, [cause, explain_run(plan, before)]))
    key = hashlib.sha256(f"{_content(plan)} {newest and newest.run_id}".encode()).hexdigest()[:16]
    run, started = start_run_once(plan, runs, reason, key, pause)
    return TriggerResult(run, started, reason if started else f"started by an equal trigger, {run.reason}")


def ensure_schedule(plan: Plan, kubeflow: KubeflowClient, cron: Cron) -> tuple[Schedule, str]:
    """
    Return the schedule of a pipeline at these times, and what was done: made, replaced or left as it is.

    The server cannot change a schedule: a new one is made before the old is removed, and is off when that was off.
    """
    title = f"{plan.name} {cron.text}"
    ordered = build_request(plan, kubeflow, title, f"schedule {cron.text}")
    old = [found for found in kubeflow.list_schedules(plan.name) if found.title == title]
    same = [s for s in old if (s.version_id, s.arguments) == (ordered.version.version_id, ordered.arguments)]
    if same:
        return same[0], "is as it should be"
    made = kubeflow.create_schedule(ordered, cron.kfp)
    if old and not old[-1].on:
        kubeflow.set_enabled(made.schedule_id, on=False)
        made = replace(made, on=False)
    for found in old:
        kubeflow.delete_schedule(found.schedule_id)
    return made, "replaced: its pipeline or params had changed" if old else "made"


def find_schedule(name: str, pipelines: list[str], schedules: ScheduleClient) -> Schedule:
    """Return the schedule of this title, or whose id begins so. Raises ConfigError when that is none, or several."""
    known = [found for pipeline in pipelines for found in schedules.list_schedules(pipeline)]
    found = [s for s in known if name == s.title] or [s for s in known if s.schedule_id.startswith(name)]
    if len(found) != 1:
        which = f"several schedules ({', '.join(s.schedule_id for s in found)})" if found else "no schedule"
        raise ConfigError(f"{name}: names {which}; known: {', '.join(repr(s.title) for s in known) or 'none'}")
    return found[0]


def _content(plan: Plan) -> str:
    """Return a digest of all that a run is made of."""
    return hashlib.sha256(json.dumps([plan.digest, sorted(plan.arguments.items())]).encode()).hexdigest()


def _oldest(runs: list[PipelineRun]) -> PipelineRun:
    return min(runs, key=lambda run: (run.created, run.run_id))
