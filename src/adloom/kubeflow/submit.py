"""Start one run of a pipeline on Kubeflow, or create its schedule."""

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

LOOK_BACK = 200  # newest runs among which a successful one is searched
SETTLE_SECONDS = 2.0  # until a concurrently started run is listed; the server's clock has whole seconds
MAX_REASON = 255  # characters; the server shows the reason in one line
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")

Sleep = Callable[[float], None]


def find_last_run(plan: Plan, runs: RunClient) -> PipelineRun | None:
    """Return the newest run that succeeded or is running."""
    newest = islice(runs.list_runs(plan.name), LOOK_BACK)
    return next((run for run in newest if run.state not in UNSUCCESSFUL_STATES), None)


def build_request(plan: Plan, runs: RunClient, title: str, reason: str) -> RunRequest:
    """Return the request of a run; its pipeline is uploaded if the server lacks it."""
    version = runs.upload_pipeline(plan.name, plan.digest, plan.text)
    shortened = reason if len(reason) <= MAX_REASON else f"{reason[: MAX_REASON - 1]}…"
    return RunRequest(plan.name, title, version, {**plan.arguments, REASON: shortened}, shortened)


def start_run(plan: Plan, runs: RunClient, reason: str) -> PipelineRun:
    """Start a run; equal runs have equal titles."""
    return runs.start_run(build_request(plan, runs, f"{plan.name} {_digest(plan)[:8]}", reason))


def start_run_once(plan: Plan, runs: RunClient, reason: str, key: str, sleep: Sleep) -> tuple[PipelineRun, bool]:
    """
    Return the run with this key, and whether this call started it. Raises ConfigError for an invalid key.

    A run carries its key in its title. Of two runs that start at the same time, the older stays. Both may stay if the
    server takes longer than SETTLE_SECONDS to list a run.
    """
    if not KEY.fullmatch(key):
        raise ConfigError(f'--idempotency-key "{key}": expected up to 64 letters, digits, dots, colons, dashes')
    title = f"{plan.name} key {key}"
    if existing := list(runs.list_runs(plan.name, title)):
        return _oldest(existing), False
    started = runs.start_run(build_request(plan, runs, title, reason))
    sleep(SETTLE_SECONDS)
    oldest = _oldest([started, *runs.list_runs(plan.name, title)])
    if oldest.run_id != started.run_id:
        runs.delete_run(started.run_id)
    return oldest, oldest.run_id == started.run_id


@dataclass(frozen=True)
class TriggerResult:
    """The result of a trigger."""

    run: PipelineRun
    started: bool
    note: str  # why the run was started, or why not
    until: datetime | None = None  # end of the cool-down, if there is one


def trigger_run(
    plan: Plan, runs: RunClient, cooldown: timedelta, now: datetime, sleep: Sleep, cause: str = ""
) -> TriggerResult:
    """
    Start a run if something has changed since the last one and the cool-down is over.

    Concurrent equal triggers start one run: they see the same newest run, so they have the same key. A failed run is
    repeated without waiting for a change.
    """
    newest = next(iter(runs.list_runs(plan.name)), None)
    last = find_last_run(plan, runs)
    if last and not find_changes(plan, last):
        return TriggerResult(last, started=False, note=explain_run(plan, last))
    if newest and (until := newest.created + cooldown) > now:
        note = f"run {newest.run_id} started less than {cooldown // timedelta(minutes=1)} minutes ago"
        return TriggerResult(newest, started=False, note=f"{note} (pipeline.cooldown_minutes)", until=until)
    reason = ": ".join(filter(None, [cause, explain_run(plan, last)]))
    key = hashlib.sha256(f"{_digest(plan)} {newest and newest.run_id}".encode()).hexdigest()[:16]
    run, started = start_run_once(plan, runs, reason, key, sleep)
    return TriggerResult(run, started, reason if started else f"started by an equal trigger, {run.reason}")


def ensure_schedule(plan: Plan, kubeflow: KubeflowClient, cron: Cron) -> tuple[Schedule, str]:
    """
    Return the schedule of a pipeline at these times, and what was done.

    The server cannot change a schedule: a new one is created before the old one is deleted, and stays paused with it.
    """
    title = f"{plan.name} {cron.text}"
    request = build_request(plan, kubeflow, title, f"schedule {cron.text}")
    existing = [schedule for schedule in kubeflow.list_schedules(plan.name) if schedule.title == title]
    wanted = (request.version.version_id, request.arguments)
    if equal := [schedule for schedule in existing if (schedule.version_id, schedule.arguments) == wanted]:
        return equal[0], "is as it should be"
    created = kubeflow.create_schedule(request, cron.kfp)
    if existing and not existing[-1].on:
        kubeflow.set_enabled(created.schedule_id, enabled=False)
        created = replace(created, on=False)
    for schedule in existing:
        kubeflow.delete_schedule(schedule.schedule_id)
    return created, "replaced: its pipeline or params had changed" if existing else "made"


def find_schedule(name: str, pipelines: list[str], schedules: ScheduleClient) -> Schedule:
    """Return the schedule with this title or id prefix. Raises ConfigError unless exactly one matches."""
    known = [schedule for pipeline in pipelines for schedule in schedules.list_schedules(pipeline)]
    matches = [each for each in known if name == each.title]
    matches = matches or [each for each in known if each.schedule_id.startswith(name)]
    if len(matches) != 1:
        ids = ", ".join(each.schedule_id for each in matches)
        titles = ", ".join(repr(each.title) for each in known)
        raise ConfigError(
            f"{name}: names {f'several schedules ({ids})' if ids else 'no schedule'}; known: {titles or 'none'}"
        )
    return matches[0]


def _digest(plan: Plan) -> str:
    return hashlib.sha256(json.dumps([plan.digest, sorted(plan.arguments.items())]).encode()).hexdigest()


def _oldest(runs: list[PipelineRun]) -> PipelineRun:
    return min(runs, key=lambda run: (run.created, run.run_id))
