"""`adloom submit`: one run of a pipeline on Kubeflow, or a schedule of runs."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from adloom.errors import ConfigError
from adloom.kubeflow.client.base import LOST, Kubeflow, PipelineRun, RunRequest, Runs, Schedule, Schedules
from adloom.kubeflow.plan import REASON, Plan, changes, why
from adloom.kubeflow.schedule import Cron

LOOK_BACK = 200  # runs looked through for one that succeeded
SETTLE = 2.0  # seconds in which a run that another started at the same time is listed; the server's clock has seconds
KEPT = 255  # characters of a reason that are kept: a line in the server's list of runs
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")

Pause = Callable[[float], None]


def last(plan: Plan, runs: Runs) -> PipelineRun | None:
    """Return the newest run that succeeded or is going on."""
    return next((run for run in islice(runs.runs(plan.name), LOOK_BACK) if run.state not in LOST), None)


def order(plan: Plan, runs: Runs, title: str, reason: str) -> RunRequest:
    """Return what to run, its pipeline uploaded unless an equal one is there already."""
    version = runs.upload(plan.name, plan.digest, plan.text)
    kept = reason if len(reason) <= KEPT else f"{reason[: KEPT - 1]}…"
    return RunRequest(plan.name, title, version, {**plan.arguments, REASON: kept}, kept)


def start(plan: Plan, runs: Runs, reason: str) -> PipelineRun:
    """Start a run; equal runs have equal titles."""
    return runs.start(order(plan, runs, f"{plan.name} {_content(plan)[:8]}", reason))


def start_once(plan: Plan, runs: Runs, reason: str, key: str, pause: Pause) -> tuple[PipelineRun, bool]:
    """
    Return the one run of a key, and whether it was started here.

    The server knows no keys: a run bears its key in its title, and of two that were started at the same time the older
    stays. Both may stay when the server takes longer than SETTLE to list what it was given. Raises ConfigError when the
    key is none.
    """
    if not KEY.fullmatch(key):
        raise ConfigError(f'--idempotency-key "{key}": expected up to 64 letters, digits, dots, colons, dashes')
    title = f"{plan.name} key {key}"
    if found := list(runs.runs(plan.name, title)):
        return _oldest(found), False
    mine = runs.start(order(plan, runs, title, reason))
    pause(SETTLE)
    oldest = _oldest([mine, *runs.runs(plan.name, title)])
    if oldest.run_id != mine.run_id:
        runs.discard(mine.run_id)
    return oldest, oldest.run_id == mine.run_id


@dataclass(frozen=True)
class TriggerResult:
    """What became of a trigger."""

    run: PipelineRun
    started: bool
    note: str  # why the run was started, or why no other was
    until: datetime | None = None  # no other starts before; None unless runs have to cool down


def trigger(plan: Plan, runs: Runs, cooldown: timedelta, now: datetime, pause: Pause, cause: str = "") -> TriggerResult:
    """
    Start a run if there is a reason to: something changed since the last one, whose start is `cooldown` ago.

    Equal triggers at the same time start one run, for they see the same newest run and so have the same key. One whose
    run failed is no reason to wait for a change.
    """
    newest = next(iter(runs.runs(plan.name)), None)
    before = last(plan, runs)
    if before and not changes(plan, before):
        return TriggerResult(before, started=False, note=why(plan, before))
    if newest and (until := newest.created + cooldown) > now:
        note = f"run {newest.run_id} started less than {cooldown // timedelta(minutes=1)} minutes ago"
        return TriggerResult(newest, started=False, note=f"{note} (pipeline.cooldown_minutes)", until=until)
    reason = ": ".join(filter(None, [cause, why(plan, before)]))
    key = hashlib.sha256(f"{_content(plan)} {newest and newest.run_id}".encode()).hexdigest()[:16]
    run, started = start_once(plan, runs, reason, key, pause)
    return TriggerResult(run, started, reason if started else f"started by an equal trigger, {run.reason}")


def schedule(plan: Plan, kubeflow: Kubeflow, cron: Cron) -> tuple[Schedule, str]:
    """
    Return the schedule of a pipeline at these times, and what was done: made, replaced or left as it is.

    The server cannot change a schedule: a new one is made before the old is removed, and is off when that was off.
    """
    title = f"{plan.name} {cron.text}"
    ordered = order(plan, kubeflow, title, f"schedule {cron.text}")
    old = [found for found in kubeflow.schedules(plan.name) if found.title == title]
    same = [s for s in old if (s.version_id, s.arguments) == (ordered.version.version_id, ordered.arguments)]
    if same:
        return same[0], "is as it should be"
    made = kubeflow.schedule(ordered, cron.kfp)
    if old and not old[-1].on:
        kubeflow.switch(made.schedule_id, on=False)
        made = replace(made, on=False)
    for found in old:
        kubeflow.unschedule(found.schedule_id)
    return made, "replaced: its pipeline or params had changed" if old else "made"


def find(name: str, pipelines: list[str], schedules: Schedules) -> Schedule:
    """Return the schedule of this title, or whose id begins so. Raises ConfigError when that is none, or several."""
    known = [found for pipeline in pipelines for found in schedules.schedules(pipeline)]
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
