"""
Estimate the bytes of Argo's Workflow object for a run in which every task executes.

Above 1,048,576 bytes Argo compresses the state of the tasks, and Kubeflow Pipelines 2.17 no longer reads it.

The model: every task is five nodes, since 2.17 wraps nodes in Retry nodes (its driver and its executor, each with a
wrapper, and the DAG around the executor), and the run has eleven more.

- The spec holds the compiled components, containers and pods: SPEC times their JSON.
- A driver and its wrapper hold the JSON of component, container, pod and task as inputs.
- All five nodes hold the task's pod-spec-patch: the launcher's arguments with the executor input (parameters, and every
  artifact with address, type and metadata) and the component as strings of JSON, the command, the environment.
- Everything else in a node (names, times, the log's address, quotation marks escaped) is NODE bytes.

ARTIFACT, LAUNCHER, SPEC and NODE are fitted to tests/data/measured_run.json: the compiled sizes of a pipeline of 23
tasks, and the sizes of its run on Kubeflow Pipelines 2.17.0.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from adloom.kubeflow.compiled_pipelines import CompiledPipeline

LIMIT = 960_000  # leaves 8 % for longer parameters; the estimate is exact to 1 %
PATCHES, DRIVERS, NODES, AROUND = 5, 2, 5, 11
SPEC, NODE = 2.025, 2494
ARTIFACT, OUTPUT, VARIABLE, LAUNCHER = 1000, 300, 115, 160


@dataclass(frozen=True)
class Task:
    """The sizes of one task: bytes of compact JSON, and numbers of inputs, outputs and variables."""

    component: int
    container: int
    pod: int
    task: int
    parameters: int  # as a string of JSON
    inputs: int
    outputs: int
    variables: int

    @property
    def runs(self) -> bool:
        """Return whether it has its own pod."""
        return self.container > 0

    @property
    def patch(self) -> int:
        """Return the size of the pod-spec-patch."""
        artifacts = ARTIFACT * self.inputs + OUTPUT * self.outputs
        component = round(1.14 * self.component)  # its quotation marks are escaped
        size = self.parameters + artifacts + component + self.container + VARIABLE * self.variables + LAUNCHER
        return size if self.runs else 0


def tasks(compiled: CompiledPipeline, arguments: Mapping[str, str]) -> dict[str, Task]:
    """Return the sizes of each task of a pipeline with these arguments."""
    components = compiled.pipeline["components"]
    return {
        name: _task(compiled, task, arguments)
        for component in (*components.values(), compiled.pipeline["root"])
        for name, task in component.get("dag", {}).get("tasks", {}).items()
    }


def estimate(run: Collection[Task]) -> int:
    """Return the size of the object in bytes."""
    compiled = sum(task.component + task.container + task.pod for task in run)
    patches = sum(task.patch for task in run)
    drivers = compiled + sum(task.task for task in run)
    nodes = NODES * sum(task.runs for task in run) + AROUND
    return round(SPEC * compiled + PATCHES * patches + DRIVERS * drivers + NODE * nodes)


def _task(compiled: CompiledPipeline, task: Any, arguments: Mapping[str, str]) -> Task:
    component = compiled.pipeline["components"][task["componentRef"]["name"]]
    label = component.get("executorLabel")
    pod = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].get(label, {})
    container = compiled.pipeline["deploymentSpec"]["executors"][label]["container"] if label else {}
    arguments_json = {
        name: arguments.get(source.get("componentInputParameter", "").removeprefix("pipelinechannel--"), "0" * 64)
        for name, source in task.get("inputs", {}).get("parameters", {}).items()
    }
    return Task(
        component=len(_json(component)),
        container=len(_json(container)) if label else 0,
        pod=len(_json(pod)) if label else 0,
        task=len(_json(task)),
        parameters=len(json.dumps(_json(arguments_json))) if label else 0,
        inputs=len(task.get("inputs", {}).get("artifacts", {})),
        outputs=len(component.get("outputDefinitions", {}).get("artifacts", {})),
        variables=sum(
            len(entry["keyToEnv"]) for kind in ("secretAsEnv", "configMapAsEnv") for entry in pod.get(kind, [])
        ),
    )


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))
