"""The compiled pipelines: where they lie, where their stages run, and the arguments that a run of them takes."""

import copy
import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import yaml

from adloom.config.models import MODELS
from adloom.config.params import TABLES, Ingest, Params, Period, Prepare
from adloom.config.resources import COMPILED_FOLDER, Pipeline, PodResources, Toleration
from adloom.errors import ConfigError
from adloom.stages.sources_lock import SourcesLock

NAMES = ("training", "scoring")
FOLDER = COMPILED_FOLDER
STAGES = {  # of a pipeline: those that take their whole block, as the argument <stage>_params
    "training": (*(spec.stage for spec in MODELS.values()), "evaluate", "report"),
    "scoring": ("score",),
}
PIPELINE_TABLES = {"training": TABLES, "scoring": ("creatives", "events")}
SCHEDULING_MINUTES = 30  # minutes that the pods of a training may wait for their nodes
NEVER = date(2200, 1, 1)  # when nothing is held out, the holdout starts then

Spec = dict[str, Any]


@dataclass(frozen=True)
class CompiledPipeline:
    """A pipeline as a server takes it: what it does, and what its pods need of Kubernetes."""

    pipeline: Spec
    platform: Spec

    def with_resources(self, pipeline: Pipeline, spread: Collection[str] = ()) -> "CompiledPipeline":
        """
        Return it with every stage's image, resources, node and time limit as the params have them.

        A stage that is spread trains in pods of its own: they get its place, and its own pod, which waits, is small.
        """
        placed = copy.deepcopy(self)
        pods = placed.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        for label, executor in placed.pipeline["deploymentSpec"]["executors"].items():
            place = pipeline.resources_for(stage_name(label))
            mine = {
                key: value for key, value in executor["container"].items() if key not in ("image", "resources", "env")
            }
            pods_of_its_own = None
            if stage_name(label) in spread:
                place, pods_of_its_own = _waiting(pipeline, place), place
            executor["container"] = mine | _container(pipeline.image, place, pods_of_its_own)
            pods[label] = _without_place(pods.get(label, {})) | _node(place)
        return placed

    def stage_names(self) -> set[str]:
        """Return the names of the stages."""
        return {stage_name(label) for label in self.pipeline["deploymentSpec"]["executors"]}

    def to_yaml(self) -> str:
        """Return the text a server takes, the same for the same pipeline."""
        return yaml.safe_dump_all([self.pipeline, self.platform], sort_keys=True, width=120)

    def digest(self) -> str:
        """Return the sha256 of the text, 64 hex digits."""
        return hashlib.sha256(self.to_yaml().encode()).hexdigest()


def load_pipeline(name: str, folder: Path | None = None) -> CompiledPipeline:
    """
    Read a compiled pipeline from a folder; when none is named, from FOLDER, or where that is not there as shipped.

    Raises ConfigError when there is none of this name.
    """
    if name not in NAMES:
        raise ConfigError(f"{name}: no such pipeline; expected one of {', '.join(NAMES)}")
    if folder or FOLDER.is_dir():
        return read_pipeline((folder or FOLDER) / f"{name}.yaml")
    with as_file(files("adloom") / "starter" / f"{name}.yaml") as shipped:
        return read_pipeline(shipped)


def read_pipeline(path: Path) -> CompiledPipeline:
    """Read a compiled pipeline from a file. Raises ConfigError when it is not there, or not one."""
    try:
        documents = list(yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader))  # ten times as fast
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `adloom init DIR` writes it into a new folder") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if len(documents) != 2 or "pipelineInfo" not in documents[0] or "platforms" not in documents[1]:
        raise ConfigError(f"{path}: not a compiled pipeline; `adloom init DIR` writes one into a new folder")
    return CompiledPipeline(*documents)


def build_arguments(name: str, params: Params, lock: SourcesLock | None) -> dict[str, str]:
    """
    Return the arguments of a run: the JSON of each stage's block, and the digests of the sources it is started for.

    Without a lock the run takes the sources as it finds them. Raises ConfigError when there is nothing to score.
    """
    ingest, prepare = (params.ingest, params.prepare) if name == "training" else build_scoring_blocks(params)
    found = {"project": params.project, "sources": json.dumps(lock.digests(), sort_keys=True) if lock else ""}
    if name == "training":
        found["params"] = params.model_dump_json(by_alias=True, exclude_unset=True)  # a place says what it sets itself
    for table in PIPELINE_TABLES[name]:
        found[f"ingest_{table}"] = Ingest.model_validate({table: ingest.source(table)}).to_json()
        found[f"prepare_{table}"] = prepare.for_table(table).to_json()
    return found | {f"{stage}_params": params.block(stage).to_json() for stage in STAGES[name]}


def stage_name(label: str) -> str:
    """Return the stage of an executor such as exec-train-gan or exec-evaluate-2."""
    return re.sub(r"^exec-|-\d+$", "", label).replace("-", "_")


def build_scoring_blocks(params: Params) -> tuple[Ingest, Prepare]:
    """
    Return the blocks that bring in what is to be scored: all of it, with nothing held out.

    Raises ConfigError when there is nothing to score, or the result would go where it is lost with the pod.
    """
    sources = {"creatives": params.score.creatives, "events": params.score.events}
    if not any(sources.values()):
        raise ConfigError("score: nothing to score; give score.creatives or score.events a source")
    if not params.score.to.startswith("s3://"):
        raise ConfigError(f"score.to: {params.score.to} is lost with its pod; expected s3://bucket/prefix")
    whole = Period(holdout_start=NEVER, end=NEVER + timedelta(days=1))
    return Ingest.model_validate(sources), params.prepare.model_copy(update={"events": whole})


def distributed_stages(params: Params) -> set[str]:
    """Return the stages that train in several processes."""
    return {stage for stage, block in params.trainings.items() if block.enabled and block.processes > 1}


def _container(image: str, place: PodResources, pods: PodResources | None) -> Spec:
    """Return what runs in a pod, which is told its image's digest, and where the pods run that it is to start."""
    _, _, digest = image.partition("@")
    told = {"ADLOOM_IMAGE_DIGEST": digest} if digest else {}
    if pods is not None:
        told |= {"ADLOOM_IMAGE": image, "ADLOOM_PLACE": pods.to_json()}
    env = {"env": [{"name": name, "value": value} for name, value in told.items()]} if told else {}
    return {"image": image, "resources": _resources(place)} | env


def _waiting(pipeline: Pipeline, place: PodResources) -> PodResources:
    """Return the place of a pod that only waits for others: no GPU, and time for them to be scheduled."""
    return pipeline.default.model_copy(update={"gpu": 0, "timeout_minutes": place.timeout_minutes + SCHEDULING_MINUTES})


def _resources(place: PodResources) -> Spec:
    """Return requests and limits, which are equal, so that a pod gets what it asks for and is ended last."""
    limits = {"resourceCpuLimit": place.cpu, "resourceMemoryLimit": place.memory}
    requests = {"resourceCpuRequest": place.cpu, "resourceMemoryRequest": place.memory}
    gpu = {"accelerator": {"resourceType": place.gpu_type, "resourceCount": str(place.gpu)}} if place.gpu else {}
    return limits | requests | gpu


def _node(place: PodResources) -> Spec:
    node: Spec = {"activeDeadlineSeconds": str(place.timeout_minutes * 60)}
    if place.node_selector:
        node["nodeSelector"] = {"labels": dict(place.node_selector)}
    if place.tolerations:
        node["tolerations"] = [_toleration(toleration) for toleration in place.tolerations]
    return node


def _toleration(toleration: Toleration) -> Spec:
    operator = {"operator": "Exists"} if toleration.value is None else {"operator": "Equal", "value": toleration.value}
    return {"key": toleration.key, "effect": toleration.effect, **operator}


def _without_place(pod: Spec) -> Spec:
    return {
        key: value for key, value in pod.items() if key not in ("activeDeadlineSeconds", "nodeSelector", "tolerations")
    }
