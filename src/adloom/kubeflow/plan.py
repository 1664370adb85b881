"""The plan of a run: its pipeline and arguments, the differences from the last run, and the likely cached tasks."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from typing import Any

from adloom.config.params import Params
from adloom.context import StageContext
from adloom.kubeflow import compiled_pipelines
from adloom.kubeflow.client.base import SUCCEEDED, PipelineRun
from adloom.kubeflow.compiled_pipelines import CompiledPipeline
from adloom.stages import sources_lock

Spec = dict[str, Any]
PIPELINE = "the pipeline or its image"
SOURCES = "sources"  # the argument with a digest of each table's source
PARAMS = "params"  # the argument with all of params.yaml, for the record; its parts are compared
REASON = "reason"  # the argument with the reason of a run
SNAPSHOT = "snapshot"  # the task that hands these digests on, one by one


@dataclass(frozen=True)
class Plan:
    """A pipeline and its arguments."""

    name: str  # of the pipeline on the server
    pipeline: Spec
    text: str  # for the upload
    digest: str  # of the text
    image: str
    arguments: Mapping[str, str]

    @property
    def tasks(self) -> dict[str, str]:
        """The label of every task, by its name in the pipeline."""
        return label_tasks(self.pipeline)


def label_tasks(pipeline: Spec) -> dict[str, str]:
    """Return the label of every task, by its name in the pipeline."""
    return {name: task["taskInfo"]["name"] for name, task in _tasks(pipeline).items()}


def qualified_name(project: str, pipeline: str) -> str:
    """Return a pipeline's name on a server that several projects share."""
    return f"{project}-{pipeline}"


def build_plan(
    pipeline: str, compiled: CompiledPipeline, params: Params, context: StageContext, scheduled: bool = False
) -> Plan:
    """Scan the sources, except for a schedule, and plan a run. Raises ConfigError and DataError."""
    lock = None
    if not scheduled:
        ingest, prepare = compiled_pipelines.select_blocks(pipeline, params)
        lock = sources_lock.scan_table(ingest, prepare.erasure_list, context)
    configured = compiled.with_resources(params.pipeline, compiled_pipelines.distributed_stages(params))
    text = configured.to_yaml()
    return Plan(
        name=qualified_name(params.project, pipeline),
        pipeline=configured.pipeline,
        text=text,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        image=params.pipeline.image,
        arguments=compiled_pipelines.build_arguments(pipeline, params, lock),
    )


def find_changes(plan: Plan, last: PipelineRun) -> dict[str, list[str]]:
    """Return the arguments that differ from a run, with their differing keys, and PIPELINE if the pipeline differs."""
    new, old = plan.arguments, last.arguments
    names = sorted((new.keys() | old.keys()) - {PARAMS, REASON})
    pipeline: dict[str, list[str]] = {PIPELINE: []} if plan.digest != last.digest else {}
    return pipeline | {
        name: _differing_keys(new.get(name, ""), old.get(name, "")) for name in names if new.get(name) != old.get(name)
    }


def explain_run(plan: Plan, last: PipelineRun | None) -> str:
    """Return in one line why to run, or why not."""
    if last is None:
        return "no run has succeeded or is going on"
    changed = find_changes(plan, last)
    parts = [f"{name} ({', '.join(keys)})" if keys else name for name, keys in changed.items()]
    if SOURCES in changed and not last.arguments.get(SOURCES):
        parts[list(changed).index(SOURCES)] = f"{SOURCES} (it took them as it found them)"
    return (
        f"changed since run {last.run_id}: {'; '.join(parts)}" if parts else f"nothing changed since run {last.run_id}"
    )


def find_stale_tasks(plan: Plan, last: PipelineRun | None, before: Spec) -> list[str]:
    """
    Return the labels of the tasks that the server has probably not cached.

    `before` is the last run's compiled pipeline, empty if it was deleted.
    """
    tasks = _tasks(plan.pipeline)
    changed = find_changes(plan, last) if last else {}
    if last is None or last.state != SUCCEEDED or (PIPELINE in changed and not before):
        return list(plan.tasks.values())
    new = {*changed, *changed.get(SOURCES, [])}
    old = _programs(before) if PIPELINE in changed else _programs(plan.pipeline)
    programs = _programs(plan.pipeline)

    @cache
    def differs(name: str) -> bool:
        producers = (producer for producer in _producers(tasks[name]) if producer != SNAPSHOT)
        reads_new = any(argument in new for argument in _arguments(tasks[name])) or any(map(differs, producers))
        return reads_new or programs[name] != old.get(name)

    def runs(name: str) -> bool:
        return differs(name) or not tasks[name].get("cachingOptions", {}).get("enableCache")

    return [label for name, label in plan.tasks.items() if runs(name)]


def summarize(plan: Plan, last: PipelineRun | None, before: Spec, reason: str) -> dict[str, Any]:
    """
    Return the facts of a plan by name; each argument has its digest and whether it differs from the last run.

    `before` is the last run's compiled pipeline, empty if it was deleted.
    """
    changed = find_changes(plan, last) if last else {}
    stale = find_stale_tasks(plan, last, before)
    return {
        "pipeline": f"{plan.name} {shorten_digest(plan.digest)}",
        "image": plan.image,
        "why": reason,
        "arguments": {
            name: {"digest": hashlib.sha256(text.encode()).hexdigest(), "differs": name in changed if last else None}
            for name, text in plan.arguments.items()
        },
        "runs": stale,
        "likely cached": [label for label in plan.tasks.values() if label not in stale],
    }


def format_summary(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a summary."""
    verdicts = {None: "", True: "differs", False: "as in the last run"}
    for title, fact in summary.items():
        if title == "arguments":
            for name, known in fact.items():
                digest, verdict = shorten_digest(known["digest"]), verdicts[known["differs"]]
                yield f"{'argument':14}{name:20} {digest}  {verdict}".rstrip()
        else:
            yield f"{title:14}{fact if isinstance(fact, str) else ', '.join(fact) or 'nothing'}"
    if "@" not in summary["image"]:
        yield f"{'note':14}the image has a tag, and a new image under that tag goes unnoticed; use a digest"


def shorten_digest(digest: str) -> str:
    """Return the first 12 digits."""
    return digest[:12]


def _differing_keys(new_text: str, old_text: str) -> list[str]:
    try:
        new, old = json.loads(new_text), json.loads(old_text)
    except ValueError:
        return []
    if not (isinstance(new, dict) and isinstance(old, dict)):
        return []
    return sorted(key for key in new.keys() | old.keys() if new.get(key) != old.get(key))


def _tasks(pipeline: Spec) -> dict[str, Spec]:
    """Return every task that runs in a pod, nested ones too, in topological order."""

    def flatten(tasks: Mapping[str, Spec]) -> Iterator[tuple[str, Spec]]:
        for name, task in tasks.items():
            inner = pipeline["components"][task["componentRef"]["name"]].get("dag")
            yield from flatten(inner["tasks"]) if inner else [(name, task)]

    tasks = dict(flatten(pipeline["root"]["dag"]["tasks"]))
    graph = {name: dict.fromkeys(_producers(task)) for name, task in tasks.items()}
    order = sorted(TopologicalSorter(graph).static_order(), key=lambda name: "triggerPolicy" in tasks[name])
    return {name: tasks[name] for name in order}  # exit handlers are last


def _programs(pipeline: Spec) -> dict[str, Any]:
    """Return the parts of every task that the server's cache compares in addition to its inputs."""
    executors = pipeline.get("deploymentSpec", {}).get("executors", {})

    def program(task: Spec) -> list[Any]:
        component = pipeline["components"][task["componentRef"]["name"]]
        container = executors.get(component.get("executorLabel"), {}).get("container", {})
        interface = [component.get("inputDefinitions"), component.get("outputDefinitions")]
        return [*(container.get(part) for part in ("image", "command", "args")), *interface]

    return {name: program(task) for name, task in _tasks(pipeline).items()}


def _inputs(task: Spec, kind: str) -> Iterator[Spec]:
    yield from task.get("inputs", {}).get(kind, {}).values()


def _arguments(task: Spec) -> Iterator[str]:
    """Yield the run's arguments that a task reads, and the tables on whose cache key it depends."""
    for parameter in _inputs(task, "parameters"):
        if "componentInputParameter" in parameter:
            yield parameter["componentInputParameter"].removeprefix("pipelinechannel--")
        elif (output := parameter.get("taskOutputParameter")) and output["producerTask"] == SNAPSHOT:
            yield output["outputParameterKey"]


def _producers(task: Spec) -> Iterator[str]:
    for kind, source in (("parameters", "taskOutputParameter"), ("artifacts", "taskOutputArtifact")):
        yield from (each[source]["producerTask"] for each in _inputs(task, kind) if source in each)
