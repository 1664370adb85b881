"""The progress of a run on Kubeflow: waiting for its end, the states of its tasks, where and why it failed."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from adloom.errors import AdloomError, ExternalServiceError
from adloom.kubeflow.client.base import FAILED, SUCCEEDED, NotFoundError, PipelineRun, RunClient, Task

POLL_SECONDS, MAX_FAILED_POLLS = (
    5.0,
    60,
)  # seconds between looks at a run, and looks without an answer before waiting ends
POLLS_PER_CHECK = 6  # looks between two questions for what keeps the run's pods from starting
DONE = frozenset({SUCCEEDED, "SKIPPED", "CACHED"})
WORST = ("", "SKIPPED", SUCCEEDED, "PENDING", "RUNNING", "PAUSED", "CANCELING", "CANCELED", FAILED)  # last counts most
ATTEMPT = re.compile(r"(?P<task>.+?)(?P<driver>-driver)?(?:\((?P<number>\d+)\))?")  # such as x-driver(0)
INCOMPLETE = "the server tells no more of this run's tasks (KFP 2.17: none above 1 MB); its page and the tasks' logs do"

Print = Callable[[str], None]
Sleep = Callable[[float], None]
FindProblem = Callable[[PipelineRun], str]  # what keeps the pods of a run from starting, "" when nothing is known


def watch(
    run_id: str,
    runs: RunClient,
    tasks: Mapping[str, str],
    say: Print,
    pause: Sleep,
    notices: FindProblem = lambda _: "",
) -> PipelineRun:
    """
    Say each change of a run and its tasks until it has ended, and return it; `tasks` has what people call each.

    Raises ExternalServiceError when the server gives no answer for a long while; the run goes on.
    """
    seen: dict[str, str] = {}
    noticed, looks, silent = "", 0, 0
    while True:
        try:
            run, silent = runs.get_run(run_id), 0
        except NotFoundError:
            raise ExternalServiceError(f"run {run_id}: was deleted while it was waited for") from None
        except ExternalServiceError as error:
            silent += 1
            if silent == MAX_FAILED_POLLS:
                raise ExternalServiceError(f"{error}; the run goes on, `adloom runs` shows it") from None
            say(f"{error}; the run goes on, waiting")
        else:
            now = collect_states(run, tasks)
            for line in _news(seen, now, run, tasks):
                say(line)
            seen = now
            if run.ended:
                return run
            noticed = _notice(noticed, run, looks, say, notices)
            looks += 1
        pause(POLL_SECONDS)


def collect_states(run: PipelineRun, tasks: Mapping[str, str]) -> dict[str, str]:
    """Return the state of the run and of each of its tasks, by what people call it; of equal names the worst."""
    found = {"run": run.state}
    for label, task, _ in _labelled(run, tasks):
        found[label] = max(found.get(label, ""), task.state, key=_weight)
    return found


def is_complete(run: PipelineRun, tasks: Mapping[str, str]) -> bool:
    """
    Return whether the server tells how every task of an ended run ended.

    KFP 2.17 stops telling of tasks when the state of a run is larger than 1 MB.
    """
    known = collect_states(run, tasks)
    ends = [known.get(label, "") for label in tasks.values()]
    if run.state == SUCCEEDED:
        return DONE.issuperset(ends)
    return run.state != FAILED or (FAILED in ends and "RUNNING" not in ends)


def describe_failure(run: PipelineRun, tasks: Mapping[str, str]) -> str:
    """Return how a run ended that did not succeed: at which tasks, and why, as far as the server tells."""
    failed = [(label, driver) for label, task, driver in _labelled(run, tasks) if task.state == FAILED]
    names = list(dict.fromkeys(f"{label} (its driver)" if driver else label for label, driver in failed))
    reasons = dict.fromkeys(task.message for task in run.tasks if task.state == FAILED and task.message)
    said = "; ".join(reasons) or run.message or "the server does not say why, the log of the task does"
    where = f" at {', '.join(names)}" if names else ""
    if run.state != FAILED:
        return f"is {run.state.lower()}{where}"
    running = [label for label, state in collect_states(run, tasks).items() if state == "RUNNING"]
    last = f"; last seen running: {', '.join(running)}" if running and not names else ""
    return f"failed{where}: {said}{last}"


def add_failed_pods(run: PipelineRun, pods: Mapping[str, str], tasks: Mapping[str, str]) -> PipelineRun:
    """Return a run with the tasks that its failed pods belong to; `pods` has the path of each, and how it ended."""
    known = {*tasks, *tasks.values()}
    found = []
    for path, why in pods.items():
        nodes = [node for node in path.split(".") if (match := ATTEMPT.fullmatch(node)) and match["task"] in known]
        found += [Task(nodes[-1].partition("(")[0], FAILED, why)] if nodes else []
    return replace(run, tasks=(*run.tasks, *found))


def raise_for_failure(run: PipelineRun, tasks: Mapping[str, str]) -> None:
    """Raise AdloomError naming the tasks that failed, and why, unless a run has succeeded."""
    if run.state != SUCCEEDED:
        raise AdloomError("; ".join(filter(None, [f"run {run.run_id} {describe_failure(run, tasks)}", run.url])))


def _labelled(run: PipelineRun, tasks: Mapping[str, str]) -> Iterator[tuple[str, Task, bool]]:
    """
    Yield what people call each task, the task, and whether it is a driver.

    Of several attempts the last counts, and a driver counts only if it failed.
    """
    last: dict[tuple[str, bool], tuple[float, list[Task]]] = {}
    for task in run.tasks:
        if not (match := ATTEMPT.fullmatch(task.name)):
            continue
        key, number = (match["task"], bool(match["driver"])), float(match["number"] or "inf")
        newest, equal = last.get(key, (-1.0, []))
        if number >= newest:
            last[key] = (number, [*(equal if number == newest else []), task])
    for (name, driver), (_, found) in last.items():
        label = tasks.get(name) or (name if name in tasks.values() else None)
        if label:
            yield from ((label, task, driver) for task in found if not driver or task.state == FAILED)


def _weight(state: str) -> int:
    return WORST.index(state) if state in WORST else 0


def _news(
    before: Mapping[str, str], now: Mapping[str, str], run: PipelineRun, tasks: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line for each state that changed; of a run that is not told to its end without a count."""
    whole = not run.ended or is_complete(run, tasks)
    done = sum(state in DONE for name, state in now.items() if name != "run")
    count = f" {done}/{len({*tasks.values()})}" if whole else ""
    for name, state in now.items():
        if before.get(name) != state:
            yield f"{datetime.now():%H:%M:%S}  {name:24} {state:10}{count}".rstrip()
    if not whole:
        yield INCOMPLETE


def _notice(before: str, run: PipelineRun, looks: int, say: Print, notices: FindProblem) -> str:
    """Say what keeps the pods of a run from starting, when it is news; return what was said last."""
    found = notices(run) if looks % POLLS_PER_CHECK == 0 else ""
    if found and found != before:
        say(found)
    return found or before
