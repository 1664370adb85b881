"""The commands that talk to Kubeflow Pipelines: submit, runs, schedules."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click

from adloom import params
from adloom.cli import AS_JSON, PARAMS, opened
from adloom.errors import AdloomError, ParamsError
from adloom.io.kfp import KfpServer
from adloom.io.kubeflow import Kubeflow, Run, Schedule
from adloom.kubeflow import cron as crons
from adloom.kubeflow import pipelines, plan
from adloom.kubeflow import submit as verb
from adloom.kubeflow.cron import Cron
from adloom.kubeflow.plan import Plan
from adloom.settings import Settings


@click.command("submit")
@click.argument("pipeline", type=click.Choice(pipelines.NAMES))
@PARAMS
@click.option(
    "--compiled", type=Path, default=pipelines.FOLDER, show_default=True, help="Folder of compiled pipelines."
)
@click.option("--no-wait", is_flag=True, help="Print the run's address and end; else wait until the run has ended.")
@click.option("--if-changed", is_flag=True, help="Run only when something differs from the last run that succeeded.")
@click.option("--schedule", "cron", metavar="CRON", help='Run again and again (UTC), such as "30 3 * * *".')
@click.option("--idempotency-key", "key", metavar="KEY", help="Start one run however often this key is given.")
@click.option("--dry-run", is_flag=True, help="Print what would run and why; change nothing on the server.")
@AS_JSON
def submit(
    pipeline: str,
    params_path: Path,
    compiled: Path,
    no_wait: bool,
    if_changed: bool,
    cron: str | None,
    key: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Run a pipeline on Kubeflow, on the sources as they are now, and wait until it has ended.

    Example: adloom submit training --if-changed --no-wait
    """
    if cron is not None and (if_changed or key is not None):
        raise ParamsError("--schedule: cannot go with --if-changed or --idempotency-key; a schedule runs at its times")
    times = None if cron is None else crons.parse(cron)
    loaded = pipelines.load(pipeline, compiled)
    given, outside = opened(params_path)
    planned = plan.make(pipeline, loaded, given, outside, scheduled=times is not None)
    if dry_run:
        _dry(planned, times, as_json)
    elif times:
        _schedule(planned, times, as_json)
    else:
        _run(planned, if_changed, key, no_wait, as_json)


@click.command("runs")
@PARAMS
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Runs to show, newest first.")
@AS_JSON
def runs(params_path: Path, limit: int, as_json: bool) -> None:
    """
    List the runs on Kubeflow: when, how they stand, why they were started, of which pipeline, and where to look.

    Example: adloom runs --limit 5
    """
    kubeflow, names = _server(), _names(params_path)
    found = [run for name in names for run in islice(kubeflow.runs(name), limit)]
    newest = sorted(found, key=lambda run: run.created, reverse=True)[:limit]
    if as_json:
        click.echo(json.dumps([_facts(run) for run in newest], indent=1))
        return
    for run in newest:
        click.echo(f"{run.created:%Y-%m-%d %H:%M}  {run.state:9}  {run.title}  {plan.short(run.digest)}  {run.reason}")
        click.echo(f"{'':27}  {run.url}")


@click.command("schedules")
@click.argument("action", type=click.Choice(["list", "pause", "resume", "delete"]), default="list")
@click.argument("name", required=False)
@PARAMS
@AS_JSON
def schedules(action: str, name: str | None, params_path: Path, as_json: bool) -> None:
    """
    List the schedules on Kubeflow; pause, resume or delete the one of this title, or whose id begins so.

    Example: adloom schedules pause "shop-training 30 3 * * *"
    """
    kubeflow, names = _server(), _names(params_path)
    if action == "list":
        _list_schedules([found for each in names for found in kubeflow.schedules(each)], as_json)
        return
    if not name:
        raise ParamsError(f"adloom schedules {action}: which one? `adloom schedules` lists their titles")
    chosen = verb.find(name, names, kubeflow)
    if action == "delete":
        kubeflow.unschedule(chosen.schedule_id)
    else:
        kubeflow.switch(chosen.schedule_id, on=action == "resume")
    done = {"pause": "is paused", "resume": "runs again", "delete": "is deleted; the runs it made stay"}
    click.echo(f"{chosen.title}: {done[action]}")


def _run(planned: Plan, if_changed: bool, key: str | None, no_wait: bool, as_json: bool) -> None:
    kubeflow, reason = _server(), "by hand"
    if if_changed:
        last = verb.last(planned, kubeflow)
        reason = plan.why(planned, last)
        if last and not plan.changes(planned, last):
            return _tell(last, started=False, note=reason, as_json=as_json)
    if key is not None:
        run, started = verb.start_once(planned, kubeflow, reason, key, time.sleep)
    else:
        run, started = verb.start(planned, kubeflow, reason), True
    note = reason if started else f"its key was given before, {run.reason}"
    if no_wait:
        return _tell(run, started, note, as_json)
    return _wait(run, started, note, planned.tasks, kubeflow, as_json)


def _wait(run: Run, started: bool, note: str, tasks: Mapping[str, str], kubeflow: Kubeflow, as_json: bool) -> None:
    """Show a run until it has ended; with JSON, what a person would read goes to stderr."""
    say = partial(click.echo, err=as_json)
    say(_line(run, started, note))
    try:
        ended = verb.watch(run.run_id, kubeflow, tasks, say, time.sleep)
    except KeyboardInterrupt:
        click.echo(f"adloom: stopped waiting; run {run.run_id} goes on: {run.url}", err=True)
        sys.exit(130)
    if as_json:
        _tell(ended, started, note, as_json)
    verb.check(ended, tasks)


def _tell(run: Run, started: bool, note: str, as_json: bool) -> None:
    facts = {**_facts(run), "started": started, "note": note}
    click.echo(json.dumps(facts, indent=1) if as_json else _line(run, started, note))


def _line(run: Run, started: bool, note: str) -> str:
    return f"run {run.run_id} {'started' if started else run.state}: {note}\n{run.url}"


def _dry(planned: Plan, times: Cron | None, as_json: bool) -> None:
    last, reason = (None, f"a schedule, next {_due(times)}") if times else _compared(planned)
    facts = plan.facts(planned, last, reason)
    for line in [json.dumps(facts, indent=1)] if as_json else plan.lines(facts):
        click.echo(line)


def _compared(planned: Plan) -> tuple[Run | None, str]:
    try:
        last = verb.last(planned, _server())
    except AdloomError as error:
        return None, f"not compared with the last run: {error}"
    return last, plan.why(planned, last)


def _schedule(planned: Plan, times: Cron, as_json: bool) -> None:
    made, done = verb.schedule(planned, _server(), times)
    if as_json:
        return _list_schedules([made], as_json)
    off = "" if made.on else "; it is paused"
    return click.echo(f"schedule {made.title}: {done}{off}; next {_due(times)}; it looks at the sources when it runs")


def _due(times: Cron) -> str:
    """Return the next times, for people."""
    due = islice(times.after(datetime.now(UTC)), 3)
    return f"{', '.join(f'{time:%Y-%m-%d %H:%M}' for time in due)} UTC"


def _list_schedules(found: list[Schedule], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(schedule) for schedule in found], indent=1, default=str))
        return
    for schedule in found:
        click.echo(f"{schedule.schedule_id:36}  {'on' if schedule.on else 'paused':6}  {schedule.title}")


def _facts(run: Run) -> dict[str, Any]:
    facts = ("run_id", "title", "state", "reason", "digest", "url")
    return {**{fact: getattr(run, fact) for fact in facts}, "created": run.created.isoformat()}


def _names(params_path: Path) -> list[str]:
    project = params.load(params_path).project
    return [plan.on_server(project, pipeline) for pipeline in pipelines.NAMES]


def _server() -> Kubeflow:
    return KfpServer(Settings())
