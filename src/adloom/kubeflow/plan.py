"""What `adloom submit` would run, how it differs from the last run, and which tasks the server likely has cached."""

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
REASON = "reason"  # the argument that says why a run was started
SNAPSHOT = "snapshot"  # the task that hands these digests on, one by one


@dataclass(frozen=True)
class Plan:
    """What would run."""

    name: str  # of the pipeline on the server
    pipeline: Spec
    text: str  # as the server takes it
    digest: str  # of the text
    image: str
    arguments: Mapping[str, str]

    @property
    def tasks(self) -> dict[str, str]:
        """Every task's name in the pipeline, and what people call it."""
        return label_tasks(self.pipeline)


def label_tasks(pipeline: Spec) -> dict[str, str]:
    """Return the name of every task in a compiled pipeline, and what people call it."""
    return {name: task["taskInfo"]["name"] for name, task in _tasks(pipeline).items()}


def qualified_name(project: str, pipeline: str) -> str:
    """Return what a pipeline is called on a server that several projects share."""
    return f"{project}-{pipeline}"


def build_plan(
    pipeline: str, compiled: CompiledPipeline, params: Params, context: StageContext, scheduled: bool = False
) -> Plan:
    """
    Look at the sources, unless the run is to do that itself each time, and put the compiled pipeline in its place.

    Raises ConfigError and DataError as `snapshot.look` and `compiled_pipelines.arguments` do.
    """
    lock = None
    if not scheduled:
        ingest, prepare = (
            (params.ingest, params.prepare)
            if pipeline == "training"
            else compiled_pipelines.build_scoring_blocks(params)
        )
        lock = sources_lock.scan_table(ingest, prepare.erasure_list, context)
    placed = compiled.with_resources(params.pipeline, compiled_pipelines.distributed_stages(params))
    text = placed.to_yaml()
    return Plan(
        name=qualified_name(params.project, pipeline),
        pipeline=placed.pipeline,
        text=text,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        image=params.pipeline.image,
        arguments=compiled_pipelines.build_arguments(pipeline, params, lock),
    )


def find_changes(plan: Plan, last: PipelineRun) -> dict[str, list[str]]:
    """Return what differs from a run: arguments with their keys that differ, and PIPELINE; empty when nothing does."""
    now, then = plan.arguments, last.arguments
    names = sorted((now.keys() | then.keys()) - {PARAMS, REASON})
    differing = {key: _keys(now.get(key, ""), then.get(key, "")) for key in names}
    other: dict[str, list[str]] = {PIPELINE: []} if plan.digest != last.digest else {}
    return other | {key: keys for key, keys in differing.items() if now.get(key) != then.get(key)}


def explain_run(plan: Plan, last: PipelineRun | None) -> str:
    """Return in a line why to run, or why not."""
    if last is None:
        return "no run has succeeded or is going on"
    changed = find_changes(plan, last)
    told = [f"{name} ({', '.join(keys)})" if keys else name for name, keys in changed.items()]
    if SOURCES in changed and not last.arguments.get(SOURCES):
        told[list(changed).index(SOURCES)] = f"{SOURCES} (it took them as it found them)"
    return f"changed since run {last.run_id}: {'; '.join(told)}" if told else f"nothing changed since run {last.run_id}"


def find_stale_tasks(plan: Plan, last: PipelineRun | None, before: Spec) -> list[str]:
    """
    Return the tasks, as people call them, that the server has likely no result of from the last run.

    `before` is the last run's compiled pipeline, empty when the server does not have it.
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
    Return what would run and why, by name; an argument with its digest, and whether it differs from the last run.

    `before` is the last run's compiled pipeline, empty when the server does not have it.
    """
    changed = find_changes(plan, last) if last else {}
    again = find_stale_tasks(plan, last, before)
    return {
        "pipeline": f"{plan.name} {shorten_digest(plan.digest)}",
        "image": plan.image,
        "why": reason,
        "arguments": {
            name: {"digest": hashlib.sha256(text.encode()).hexdigest(), "differs": name in changed if last else None}
            for name, text in plan.arguments.items()
        },
        "runs": again,
        "likely cached": [label for label in plan.tasks.values() if label not in again],
    }


def format_summary(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield facts as people read them."""
    verdicts = {None: "", True: "differs", False: "as in the last run"}
    for what, fact in told.items():
        if what == "arguments":
            for name, known in fact.items():
                digest, verdict = shorten_digest(known["digest"]), verdicts[known["differs"]]
                yield f"{'argument':14}{name:20} {digest}  {verdict}".rstrip()
        else:
            yield f"{what:14}{fact if isinstance(fact, str) else ', '.join(fact) or 'nothing'}"
    if "@" not in told["image"]:
        yield f"{'note':14}the image is named by a tag: what else that may come to mean goes unnoticed; name a digest"


def shorten_digest(digest: str) -> str:
    """Return as much of a digest as people read."""
    return digest[:12]


def _keys(now: str, then: str) -> list[str]:
    """Return the keys that differ between two JSON objects; none when one of the texts is no object."""
    try:
        new, old = json.loads(now), json.loads(then)
    except ValueError:
        return []
    if not (isinstance(new, dict) and isinstance(old, dict)):
        return []
    return sorted(key for key in new.keys() | old.keys() if new.get(key) != old.get(key))


def _tasks(pipeline: Spec) -> dict[str, Spec]:
    """Return every task that runs in a pod, those within others included, none before what it reads the results of."""

    def within(tasks: Mapping[str, Spec]) -> Iterator[tuple[str, Spec]]:
        for name, task in tasks.items():
            inner = pipeline["components"][task["componentRef"]["name"]].get("dag")
            yield from within(inner["tasks"]) if inner else [(name, task)]

    found = dict(within(pipeline["root"]["dag"]["tasks"]))
    graph = {name: dict.fromkeys(_producers(task)) for name, task in found.items()}
    order = sorted(TopologicalSorter(graph).static_order(), key=lambda name: "triggerPolicy" in found[name])
    return {name: found[name] for name in order}  # what runs whatever happened, such as an exit handler, is last


def _programs(pipeline: Spec) -> dict[str, Any]:
    """Return what the server's cache compares of every task beside its inputs; resources and nodes are not compared."""
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
    """Yield the arguments of the run that a task reads, and the tables whose source's digest it is given."""
    for given in _inputs(task, "parameters"):
        if "componentInputParameter" in given:
            yield given["componentInputParameter"].removeprefix("pipelinechannel--")
        elif (output := given.get("taskOutputParameter")) and output["producerTask"] == SNAPSHOT:
            yield output["outputParameterKey"]


def _producers(task: Spec) -> Iterator[str]:
    """Yield the tasks whose results a task reads."""
    for kind, given in (("parameters", "taskOutputParameter"), ("artifacts", "taskOutputArtifact")):
        yield from (found[given]["producerTask"] for found in _inputs(task, kind) if given in found)
