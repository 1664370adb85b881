"""The progress of a run on Kubeflow: task states, the end, and the reasons of a failure."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from adloom.errors import AdloomError, ExternalServiceError
from adloom.kubeflow.client.base import FAILED, SUCCEEDED, NotFoundError, PipelineRun, RunClient, Task

POLL_SECONDS, MAX_FAILED_POLLS = (
    5.0,
    60,
)
POLLS_PER_CHECK = 6  # between two searches for what keeps pods from starting
DONE = frozenset({SUCCEEDED, "SKIPPED", "CACHED"})
WORST = (
    "",
    "SKIPPED",
    SUCCEEDED,
    "PENDING",
    "RUNNING",
    "PAUSED",
    "CANCELING",
    "CANCELED",
    FAILED,
)  # ascending severity
ATTEMPT = re.compile(r"(?P<task>.+?)(?P<driver>-driver)?(?:\((?P<number>\d+)\))?")  # such as x-driver(0)
INCOMPLETE = (
    "the server reports no more task states of this run (KFP 2.17: none above 1 MB); see its page and the tasks' logs"
)

Print = Callable[[str], None]
Sleep = Callable[[float], None]
FindProblem = Callable[[PipelineRun], str]  # returns what keeps a run's pods from starting, or ""


def watch(
    run_id: str,
    runs: RunClient,
    tasks: Mapping[str, str],
    echo: Print,
    sleep: Sleep,
    find_problem: FindProblem = lambda _: "",
) -> PipelineRun:
    """
    Print every state change of a run and its tasks until it has ended, and return it; `tasks` has the labels.

    Raises ExternalServiceError if the server does not answer for a long time; the run goes on.
    """
    previous: dict[str, str] = {}
    problem, polls, failed_polls = "", 0, 0
    while True:
        try:
            run, failed_polls = runs.get_run(run_id), 0
        except NotFoundError:
            raise ExternalServiceError(f"run {run_id}: was deleted during the wait") from None
        except ExternalServiceError as error:
            failed_polls += 1
            if failed_polls == MAX_FAILED_POLLS:
                raise ExternalServiceError(f"{error}; the run goes on, `adloom runs` shows it") from None
            echo(f"{error}; the run goes on, waiting")
        else:
            states = collect_states(run, tasks)
            for line in _format_changes(previous, states, run, tasks):
                echo(line)
            previous = states
            if run.ended:
                return run
            problem = _print_problem(run, polls, problem, echo, find_problem)
            polls += 1
        sleep(POLL_SECONDS)


def collect_states(run: PipelineRun, tasks: Mapping[str, str]) -> dict[str, str]:
    """Return the states of the run and its tasks by label; of equal labels the worst."""
    states = {"run": run.state}
    for label, task, _ in _labelled(run, tasks):
        states[label] = max(states.get(label, ""), task.state, key=_severity)
    return states


def is_complete(run: PipelineRun, tasks: Mapping[str, str]) -> bool:
    """
    Return whether the server reports the final state of every task of an ended run.

    KFP 2.17 reports no more task states if a run's state is larger than 1 MB.
    """
    states = collect_states(run, tasks)
    ends = [states.get(label, "") for label in tasks.values()]
    if run.state == SUCCEEDED:
        return DONE.issuperset(ends)
    return run.state != FAILED or (FAILED in ends and "RUNNING" not in ends)


def describe_failure(run: PipelineRun, tasks: Mapping[str, str]) -> str:
    """Return how an unsuccessful run ended: its failed tasks and their reasons."""
    failed = [(label, driver) for label, task, driver in _labelled(run, tasks) if task.state == FAILED]
    names = list(dict.fromkeys(f"{label} (its driver)" if driver else label for label, driver in failed))
    reasons = dict.fromkeys(task.message for task in run.tasks if task.state == FAILED and task.message)
    reason = "; ".join(reasons) or run.message or "the server does not say why, the log of the task does"
    where = f" at {', '.join(names)}" if names else ""
    if run.state != FAILED:
        return f"is {run.state.lower()}{where}"
    running = [label for label, state in collect_states(run, tasks).items() if state == "RUNNING"]
    last = f"; last seen running: {', '.join(running)}" if running and not names else ""
    return f"failed{where}: {reason}{last}"


def add_failed_pods(run: PipelineRun, pods: Mapping[str, str], tasks: Mapping[str, str]) -> PipelineRun:
    """Return a run with the tasks of its failed pods; `pods` has the path and the end of each."""
    known = {*tasks, *tasks.values()}
    failed = []
    for path, reason in pods.items():
        nodes = [node for node in path.split(".") if (match := ATTEMPT.fullmatch(node)) and match["task"] in known]
        failed += [Task(nodes[-1].partition("(")[0], FAILED, reason)] if nodes else []
    return replace(run, tasks=(*run.tasks, *failed))


def raise_for_failure(run: PipelineRun, tasks: Mapping[str, str]) -> None:
    """Raise AdloomError with the failed tasks and reasons unless a run has succeeded."""
    if run.state != SUCCEEDED:
        raise AdloomError("; ".join(filter(None, [f"run {run.run_id} {describe_failure(run, tasks)}", run.url])))


def _labelled(run: PipelineRun, tasks: Mapping[str, str]) -> Iterator[tuple[str, Task, bool]]:
    """
    Yield each task's label, the task, and whether it is a driver.

    Only the last attempt counts, and a driver only if it failed.
    """
    last: dict[tuple[str, bool], tuple[float, list[Task]]] = {}
    for task in run.tasks:
        if not (match := ATTEMPT.fullmatch(task.name)):
            continue
        key, number = (match["task"], bool(match["driver"])), float(match["number"] or "inf")
        newest, equal = last.get(key, (-1.0, []))
        if number >= newest:
            last[key] = (number, [*(equal if number == newest else []), task])
    for (name, driver), (_, attempts) in last.items():
        label = tasks.get(name) or (name if name in tasks.values() else None)
        if label:
            yield from ((label, task, driver) for task in attempts if not driver or task.state == FAILED)


def _severity(state: str) -> int:
    return WORST.index(state) if state in WORST else 0


def _format_changes(
    previous: Mapping[str, str], states: Mapping[str, str], run: PipelineRun, tasks: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line for each changed state, with a count of finished tasks if the server reports all."""
    is_reported = not run.ended or is_complete(run, tasks)
    done = sum(state in DONE for name, state in states.items() if name != "run")
    count = f" {done}/{len({*tasks.values()})}" if is_reported else ""
    for name, state in states.items():
        if previous.get(name) != state:
            yield f"{datetime.now():%H:%M:%S}  {name:24} {state:10}{count}".rstrip()
    if not is_reported:
        yield INCOMPLETE


def _print_problem(run: PipelineRun, polls: int, previous: str, echo: Print, find_problem: FindProblem) -> str:
    """Search for a problem now and then, and print a new one; return the last one."""
    problem = find_problem(run) if polls % POLLS_PER_CHECK == 0 else ""
    if problem not in ("", previous):
        echo(problem)
    return problem or previous
