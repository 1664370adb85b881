"""`adloom submit`, `runs`, `schedules` and `trigger-server`: pipelines on Kubeflow."""

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

from adloom.cli.options import AS_JSON, HOST, PARAMS, PORT, load_context, print_json
from adloom.config import params as parameters
from adloom.config.params import Params
from adloom.config.settings import Settings
from adloom.errors import AdloomError, ConfigError
from adloom.kubeflow import plan as planning
from adloom.kubeflow import progress
from adloom.kubeflow import schedule as cron_schedule
from adloom.kubeflow import submit as submission
from adloom.kubeflow.client.base import KubeflowClient, PipelineRun, Schedule
from adloom.kubeflow.client.http import HttpKubeflowClient
from adloom.kubeflow.compiled_pipelines import FOLDER, NAMES, load_pipeline
from adloom.kubeflow.plan import Plan, Spec
from adloom.kubeflow.run_namespace import open_run_namespace
from adloom.kubeflow.schedule import Cron
from adloom.kubeflow.submit import TriggerResult

BY_HAND = "by hand"
DONE = {"pause": "is paused", "resume": "runs again", "delete": "is deleted; the runs it made stay"}


@click.command("submit")
@click.argument("pipeline", type=click.Choice(NAMES))
@PARAMS
@click.option("--compiled", type=Path, help=f"Folder of compiled pipelines.  [default: {FOLDER}, or as shipped]")
@click.option("--no-wait", is_flag=True, help="Print the run's address and exit; else wait until the run has ended.")
@click.option(
    "--if-changed",
    is_flag=True,
    help="Run only if something differs from the last successful run, and not during the cool-down.",
)
@click.option("--schedule", "cron", metavar="CRON", help='Run on a schedule (UTC), such as "30 3 * * *".')
@click.option("--idempotency-key", "key", metavar="KEY", help="Start at most one run with this key.")
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
    Run a pipeline on Kubeflow with the current sources, and wait until it has ended.

    Example: adloom submit training --if-changed --no-wait
    """
    if cron is not None and (if_changed or key is not None):
        raise ConfigError("--schedule: cannot go with --if-changed or --idempotency-key; a schedule runs at its times")
    if if_changed and key is not None:
        raise ConfigError("--if-changed: cannot go with --idempotency-key; equal triggers start one run without a key")
    times = None if cron is None else cron_schedule.parse(cron)
    loaded = load_pipeline(pipeline, compiled)
    params, context = load_context(params_path)
    plan = planning.build_plan(pipeline, loaded, params, context, scheduled=times is not None)
    if dry_run:
        _print_plan(plan, times, as_json)
    elif times:
        _submit_schedule(plan, times, as_json)
    else:
        kubeflow = _client()
        result = _trigger(plan, kubeflow, params) if if_changed else _start(plan, kubeflow, key)
        if no_wait or (if_changed and not result.started):
            _print_result(result, as_json)
        else:
            _wait(result, plan.tasks, kubeflow, as_json)


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
    KfpApi(settings := Settings(), Timeouts()).endpoint  # noqa: B018 - raises if none is configured

    def start(pipeline: str, cause: str) -> TriggerResult:
        params, context = load_context(params_path)
        plan = planning.build_plan(pipeline, load_pipeline(pipeline), params, context)
        return _trigger(plan, _client(), params, cause)

    app = create_app(start, settings)
    with bind_socket(host, port) as bound:
        run(app, bound, "/readyz")


@click.command("runs")
@PARAMS
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Runs to show, newest first.")
@AS_JSON
def runs(params_path: Path, limit: int, as_json: bool) -> None:
    """
    List the runs on Kubeflow: time, state, title, pipeline digest, reason and address.

    Example: adloom runs --limit 5
    """
    kubeflow = _client()
    listed = [run for name in _pipeline_names(params_path) for run in islice(kubeflow.list_runs(name), limit)]
    newest = sorted(listed, key=lambda run: run.created, reverse=True)[:limit]
    if as_json:
        print_json([_to_dict(run) for run in newest])
        return
    for run in newest:
        digest = planning.shorten_digest(run.digest)
        click.echo(f"{run.created:%Y-%m-%d %H:%M}  {run.state:9}  {run.title}  {digest}  {run.reason}")
        if run.url:
            click.echo(f"{'':27}  {run.url}")


@click.command("schedules")
@click.argument("action", type=click.Choice(["list", "pause", "resume", "delete"]), default="list")
@click.argument("name", required=False)
@PARAMS
@AS_JSON
def schedules(action: str, name: str | None, params_path: Path, as_json: bool) -> None:
    """
    List the schedules on Kubeflow; pause, resume or delete one by its title or the beginning of its id.

    Example: adloom schedules pause "shop-training 30 3 * * *"
    """
    kubeflow, pipelines = _client(), _pipeline_names(params_path)
    if action == "list":
        _print_schedules([found for pipeline in pipelines for found in kubeflow.list_schedules(pipeline)], as_json)
        return
    if not name:
        raise ConfigError(f"adloom schedules {action}: which one? `adloom schedules` lists their titles")
    schedule = submission.find_schedule(name, pipelines, kubeflow)
    if action == "delete":
        kubeflow.delete_schedule(schedule.schedule_id)
    else:
        kubeflow.set_enabled(schedule.schedule_id, action == "resume")
    click.echo(f"{schedule.title}: {DONE[action]}")


def result_to_dict(result: TriggerResult) -> dict[str, Any]:
    """Return a trigger's result as JSON has it."""
    until = result.until.isoformat() if result.until else None
    return {**_to_dict(result.run), "started": result.started, "note": result.note, "until": until}


def _client() -> KubeflowClient:
    return HttpKubeflowClient(Settings())


def _pipeline_names(params_path: Path) -> list[str]:
    project = parameters.load(params_path).project
    return [planning.qualified_name(project, pipeline) for pipeline in NAMES]


def _trigger(plan: Plan, kubeflow: KubeflowClient, params: Params, cause: str = "") -> TriggerResult:
    cooldown = timedelta(minutes=params.pipeline.cooldown_minutes)
    return submission.trigger_run(plan, kubeflow, cooldown, datetime.now(UTC), time.sleep, cause)


def _start(plan: Plan, kubeflow: KubeflowClient, key: str | None) -> TriggerResult:
    if key is None:
        return TriggerResult(submission.start_run(plan, kubeflow, BY_HAND), started=True, note=BY_HAND)
    run, started = submission.start_run_once(plan, kubeflow, BY_HAND, key, time.sleep)
    return TriggerResult(run, started, BY_HAND if started else f"its key was used before, {run.reason}")


def _wait(result: TriggerResult, tasks: Mapping[str, str], kubeflow: KubeflowClient, as_json: bool) -> None:
    """Print a run's progress until it has ended; with JSON, the progress goes to stderr."""
    run = result.run
    echo = partial(click.echo, err=as_json)
    echo(_format_result(result))
    try:
        namespace = open_run_namespace(Settings())
        find_problem = namespace.find_problem if namespace else lambda _: ""
        ended = progress.watch(run.run_id, kubeflow, tasks, echo, time.sleep, find_problem)
    except KeyboardInterrupt:
        click.echo(f"adloom: stopped waiting; run {run.run_id} goes on{f': {run.url}' if run.url else ''}", err=True)
        sys.exit(130)
    if as_json:
        _print_result(replace(result, run=ended), as_json)
    if namespace and not progress.is_complete(ended, tasks):
        ended = progress.add_failed_pods(ended, namespace.list_failed_pods(run.run_id), tasks)
    progress.raise_for_failure(ended, tasks)


def _print_result(result: TriggerResult, as_json: bool) -> None:
    if as_json:
        print_json(result_to_dict(result))
    else:
        click.echo(_format_result(result))


def _format_result(result: TriggerResult) -> str:
    run = result.run
    line = f"run {run.run_id} {'started' if result.started else run.state}: {result.note}"
    return f"{line}\n{run.url}" if run.url else line


def _print_plan(plan: Plan, times: Cron | None, as_json: bool) -> None:
    last, before, reason = (None, {}, f"a schedule, next {_format_times(times)}") if times else _compare(plan)
    summary = planning.summarize(plan, last, before, reason)
    if as_json:
        print_json(summary)
        return
    for line in planning.format_summary(summary):
        click.echo(line)


def _compare(plan: Plan) -> tuple[PipelineRun | None, Spec, str]:
    """Return the last run, its compiled pipeline, and why to run or why not."""
    try:
        kubeflow = _client()
        last = submission.find_last_run(plan, kubeflow)
        before = dict(kubeflow.get_spec(last)) if last else {}
    except AdloomError as error:
        return None, {}, f"not compared with the last run: {error}"
    return last, before, planning.explain_run(plan, last)


def _submit_schedule(plan: Plan, times: Cron, as_json: bool) -> None:
    schedule, change = submission.ensure_schedule(plan, _client(), times)
    if as_json:
        _print_schedules([schedule], as_json)
        return
    paused = f'it is paused, `adloom schedules resume "{schedule.title}"` resumes it'
    due = f"next {_format_times(times)}" if schedule.on else paused
    click.echo(f"schedule {schedule.title}: {change}; {due}; it looks at the sources when it runs")


def _format_times(times: Cron) -> str:
    """Return the next times."""
    due = islice(times.after(datetime.now(UTC)), 3)
    return f"{', '.join(f'{time:%Y-%m-%d %H:%M}' for time in due)} UTC"


def _print_schedules(listed: list[Schedule], as_json: bool) -> None:
    if as_json:
        print_json([asdict(schedule) for schedule in listed])
        return
    for schedule in listed:
        click.echo(f"{schedule.schedule_id:36}  {'on' if schedule.on else 'paused':6}  {schedule.title}")


def _to_dict(run: PipelineRun) -> dict[str, Any]:
    names = ("run_id", "title", "state", "reason", "digest", "url")
    return {**{name: getattr(run, name) for name in names}, "created": run.created.isoformat()}
