"""The commands that talk to Kubeflow Pipelines: submit, runs, schedules."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click

from adloom.cli.options import AS_JSON, HOST, PARAMS, PORT, load_context
from adloom.config import params
from adloom.config.params import Params
from adloom.config.settings import Settings
from adloom.errors import AdloomError, ConfigError
from adloom.kubeflow import pipelines, plan, progress
from adloom.kubeflow import schedule as crons
from adloom.kubeflow import submit as verb
from adloom.kubeflow.client.base import Kubeflow, PipelineRun, Schedule
from adloom.kubeflow.client.http import KfpServer
from adloom.kubeflow.plan import Plan, Spec
from adloom.kubeflow.run_namespace import connect
from adloom.kubeflow.schedule import Cron
from adloom.kubeflow.submit import TriggerResult

BY_HAND = "by hand"


@click.command("submit")
@click.argument("pipeline", type=click.Choice(pipelines.NAMES))
@PARAMS
@click.option(
    "--compiled", type=Path, help=f"Folder of compiled pipelines.  [default: {pipelines.FOLDER}, or as shipped]"
)
@click.option("--no-wait", is_flag=True, help="Print the run's address and end; else wait until the run has ended.")
@click.option(
    "--if-changed",
    is_flag=True,
    help="Run only when something differs from the last run that succeeded, and not while runs cool down.",
)
@click.option("--schedule", "cron", metavar="CRON", help='Run again and again (UTC), such as "30 3 * * *".')
@click.option("--idempotency-key", "key", metavar="KEY", help="Start one run however often this key is given.")
@click.option("--dry-run", is_flag=True, help="Print what would run and why; change nothing on the server.")
@AS_JSON
def submit(
    pipeline: str,
    params_path: Path,
    compiled: Path | None,
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
        raise ConfigError("--schedule: cannot go with --if-changed or --idempotency-key; a schedule runs at its times")
    if if_changed and key is not None:
        raise ConfigError("--if-changed: cannot go with --idempotency-key; equal triggers start one run without a key")
    times = None if cron is None else crons.parse(cron)
    loaded = pipelines.load(pipeline, compiled)
    given, context = load_context(params_path)
    planned = plan.make(pipeline, loaded, given, context, scheduled=times is not None)
    if dry_run:
        _dry(planned, times, as_json)
    elif times:
        _schedule(planned, times, as_json)
    else:
        kubeflow = _server()
        became = _if_changed(planned, kubeflow, given) if if_changed else _started(planned, kubeflow, key)
        if no_wait or (if_changed and not became.started):
            _tell(became, as_json)
        else:
            _wait(became, planned.tasks, kubeflow, as_json)


@click.command("trigger-server")
@PARAMS
@HOST
@PORT
def trigger_server(params_path: Path, host: str, port: int) -> None:
    """
    Serve /v1/trigger: data platforms post there, and a pipeline starts when its sources have changed.

    A client needs a token of scope `trigger` from the file that ADLOOM_TOKENS_FILE names.

    Example: adloom trigger-server --port 3000
    """
    from adloom.kubeflow.client.api import KfpApi, Timeouts
    from adloom.kubeflow.trigger_server import create_app
    from adloom.serving.http_server import bind_socket, run
    from adloom.serving.server import prepare_libraries

    prepare_libraries()
    load_context(params_path)
    KfpApi(settings := Settings(), Timeouts()).endpoint  # noqa: B018 - raises without one

    def start(pipeline: str, cause: str) -> TriggerResult:
        given, context = load_context(params_path)
        planned = plan.make(pipeline, pipelines.load(pipeline), given, context)
        return _if_changed(planned, _server(), given, cause)

    app = create_app(start, settings)
    with bind_socket(host, port) as bound:
        run(app, bound, "/readyz")


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
        if run.url:
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
        raise ConfigError(f"adloom schedules {action}: which one? `adloom schedules` lists their titles")
    chosen = verb.find(name, names, kubeflow)
    if action == "delete":
        kubeflow.unschedule(chosen.schedule_id)
    else:
        kubeflow.switch(chosen.schedule_id, on=action == "resume")
    done = {"pause": "is paused", "resume": "runs again", "delete": "is deleted; the runs it made stay"}
    click.echo(f"{chosen.title}: {done[action]}")


def _if_changed(planned: Plan, kubeflow: Kubeflow, given: Params, cause: str = "") -> TriggerResult:
    cooldown = timedelta(minutes=given.pipeline.cooldown_minutes)
    return verb.trigger(planned, kubeflow, cooldown, datetime.now(UTC), time.sleep, cause)


def _started(planned: Plan, kubeflow: Kubeflow, key: str | None) -> TriggerResult:
    if key is None:
        return TriggerResult(verb.start(planned, kubeflow, BY_HAND), started=True, note=BY_HAND)
    run, started = verb.start_once(planned, kubeflow, BY_HAND, key, time.sleep)
    return TriggerResult(run, started, BY_HAND if started else f"its key was given before, {run.reason}")


def _wait(became: TriggerResult, tasks: Mapping[str, str], kubeflow: Kubeflow, as_json: bool) -> None:
    """Show a run until it has ended; with JSON, what a person would read goes to stderr."""
    say = partial(click.echo, err=as_json)
    say(_line(became))
    run = became.run
    try:
        namespace = connect(Settings())
        notices = namespace.notice if namespace else lambda _: ""
        ended = progress.watch(run.run_id, kubeflow, tasks, say, time.sleep, notices)
    except KeyboardInterrupt:
        click.echo(f"adloom: stopped waiting; run {run.run_id} goes on{f': {run.url}' if run.url else ''}", err=True)
        sys.exit(130)
    if as_json:
        _tell(replace(became, run=ended), as_json)
    if namespace and not progress.is_told_whole(ended, tasks):
        ended = progress.add_failed_pods(ended, namespace.failed_pods(run.run_id), tasks)
    progress.check(ended, tasks)


def _tell(became: TriggerResult, as_json: bool) -> None:
    click.echo(json.dumps(facts(became), indent=1) if as_json else _line(became))


def _line(became: TriggerResult) -> str:
    run = became.run
    told = f"run {run.run_id} {'started' if became.started else run.state}: {became.note}"
    return f"{told}\n{run.url}" if run.url else told


def _dry(planned: Plan, times: Cron | None, as_json: bool) -> None:
    last, before, reason = (None, {}, f"a schedule, next {_due(times)}") if times else _compared(planned)
    told = plan.facts(planned, last, before, reason)
    for line in [json.dumps(told, indent=1)] if as_json else plan.lines(told):
        click.echo(line)


def _compared(planned: Plan) -> tuple[PipelineRun | None, Spec, str]:
    """Return the last run, its compiled pipeline, and why to run or why not."""
    try:
        kubeflow = _server()
        last = verb.last(planned, kubeflow)
        before = dict(kubeflow.spec(last)) if last else {}
    except AdloomError as error:
        return None, {}, f"not compared with the last run: {error}"
    return last, before, plan.why(planned, last)


def _schedule(planned: Plan, times: Cron, as_json: bool) -> None:
    made, done = verb.schedule(planned, _server(), times)
    if as_json:
        return _list_schedules([made], as_json)
    due = f"next {_due(times)}" if made.on else f'it is paused, `adloom schedules resume "{made.title}"` lets it run'
    return click.echo(f"schedule {made.title}: {done}; {due}; it looks at the sources when it runs")


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


def facts(became: TriggerResult) -> dict[str, Any]:
    """Return what became of a trigger as a program is told it."""
    until = became.until.isoformat() if became.until else None
    return {**_facts(became.run), "started": became.started, "note": became.note, "until": until}


def _facts(run: PipelineRun) -> dict[str, Any]:
    names = ("run_id", "title", "state", "reason", "digest", "url")
    return {**{name: getattr(run, name) for name in names}, "created": run.created.isoformat()}


def _names(params_path: Path) -> list[str]:
    project = params.load(params_path).project
    return [plan.on_server(project, pipeline) for pipeline in pipelines.NAMES]


def _server() -> Kubeflow:
    return KfpServer(Settings())
