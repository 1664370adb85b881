"""
Trace each artifact that a task of a compiled pipeline reads to the task that writes it.

ML-metadata keeps one event per artifact, execution and direction: Kubeflow's driver fails if a task
receives one artifact as two inputs.
"""

from collections.abc import Iterator
from typing import Any

Spec = dict[str, Any]
Origin = tuple[str, ...]  # the tasks from the root down to the producer, then the name of its output


def find_repeated(pipeline: Spec) -> list[str]:
    """Return each task that receives one output of a producer more than once, and that output."""
    return [
        f"{task} takes {'/'.join(origin)} as {' and '.join(sorted(names))}"
        for task, inputs in _tasks(pipeline, pipeline["root"], (), {})
        for origin in sorted(set(inputs.values()))
        if len(names := [name for name in inputs if inputs[name] == origin]) > 1
    ]


def _tasks(pipeline: Spec, component: Spec, path: Origin, known: dict[str, Origin]) -> Iterator[tuple[str, Any]]:
    """Yield each task with a pod in a component, and the origin of each artifact it reads."""
    tasks = component.get("dag", {}).get("tasks", {})
    for name, task in tasks.items():
        inputs = {
            key: _origin(pipeline, tasks, source, path, known)
            for key, source in task.get("inputs", {}).get("artifacts", {}).items()
        }
        inner = pipeline.get("components", {}).get(task["componentRef"]["name"], {})
        if "dag" in inner:
            yield from _tasks(pipeline, inner, (*path, name), inputs)
        else:
            yield name, inputs


def _origin(pipeline: Spec, tasks: Spec, source: Spec, path: Origin, known: dict[str, Origin]) -> Origin:
    if "componentInputArtifact" in source:
        return known[source["componentInputArtifact"]]
    task, output = source["taskOutputArtifact"]["producerTask"], source["taskOutputArtifact"]["outputArtifactKey"]
    inner = pipeline["components"][tasks[task]["componentRef"]["name"]].get("dag")
    if inner is None:
        return (*path, task, output)
    (selector,) = inner["outputs"]["artifacts"][output]["artifactSelectors"]
    inner_source = {"taskOutputArtifact": {"producerTask": selector["producerSubtask"], **selector}}
    return _origin(pipeline, inner["tasks"], inner_source, (*path, task), {})
