"""The compiled pipelines: files, pod resources, and the arguments of a run."""

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
from adloom.config.params import TABLES, Params, Period, Prepare
from adloom.config.resources import COMPILED_FOLDER, Pipeline, PodResources
from adloom.config.sources import Ingest
from adloom.errors import ConfigError
from adloom.stages.sources_lock import SourcesLock

NAMES = ("training", "scoring", "tuning")
FOLDER = COMPILED_FOLDER
STAGES = {  # by pipeline: stages with an argument <stage>_params, which has all their parameters
    "training": (*(spec.stage for spec in MODELS.values()), "evaluate", "report"),
    "scoring": ("score", "drift"),
    "tuning": ("tune",),
}
PIPELINE_TABLES = {
    "training": TABLES,
    "scoring": ("creatives", "events", "impressions"),
    "tuning": ("creatives", "copy", "tunes"),
}
SCHEDULING_MINUTES = 30  # minutes that a training's pods may wait for their nodes
SCHEDULING_KEYS = ("activeDeadlineSeconds", "nodeSelector", "tolerations")
NEVER = date(2200, 1, 1)  # start of the holdout if nothing is held out

Spec = dict[str, Any]


@dataclass(frozen=True)
class CompiledPipeline:
    """A pipeline and its Kubernetes configuration."""

    pipeline: Spec
    platform: Spec

    def with_resources(self, pipeline: Pipeline, distributed: Collection[str] = ()) -> "CompiledPipeline":
        """
        Return a copy with every stage's image, resources, nodes and time limit from the parameters.

        A distributed stage trains in other pods: they get its resources, and its own pod, which waits, is small.
        """
        configured = copy.deepcopy(self)
        pods = configured.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        for label, executor in configured.pipeline["deploymentSpec"]["executors"].items():
            resources = pipeline.resources_for(stage_name(label))
            kept = {
                key: value for key, value in executor["container"].items() if key not in ("image", "resources", "env")
            }
            training = None
            if stage_name(label) in distributed:
                training, minutes = resources, resources.timeout_minutes + SCHEDULING_MINUTES
                resources = pipeline.default.model_copy(update={"gpu": 0, "timeout_minutes": minutes})
            executor["container"] = kept | _container(pipeline.image, resources, training)
            others = {key: value for key, value in pods.get(label, {}).items() if key not in SCHEDULING_KEYS}
            pods[label] = others | _scheduling(resources)
        return configured

    def stage_names(self) -> set[str]:
        """Return the names of the stages."""
        return {stage_name(label) for label in self.pipeline["deploymentSpec"]["executors"]}

    def to_yaml(self) -> str:
        """Return the text for the upload; equal pipelines have equal texts."""
        return yaml.safe_dump_all([self.pipeline, self.platform], sort_keys=True, width=120)

    def digest(self) -> str:
        """Return the sha256 of the text, 64 hex digits."""
        return hashlib.sha256(self.to_yaml().encode()).hexdigest()


def load_pipeline(name: str, folder: Path | None = None) -> CompiledPipeline:
    """
    Read a compiled pipeline from a folder, by default FOLDER if it exists, else as shipped with the package.

    Raises ConfigError for an unknown name.
    """
    if name not in NAMES:
        raise ConfigError(f"{name}: no such pipeline; expected one of {', '.join(NAMES)}")
    if folder or FOLDER.is_dir():
        return read_pipeline((folder or FOLDER) / f"{name}.yaml")
    with as_file(files("adloom") / "starter" / f"{name}.yaml") as shipped:
        return read_pipeline(shipped)


def read_pipeline(path: Path) -> CompiledPipeline:
    """Read a compiled pipeline. Raises ConfigError if the file is missing or invalid."""
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
    Return a run's arguments: each stage's parameters as JSON, and the expected digests of the sources.

    Without a lock the run accepts any sources. Raises ConfigError if there is nothing to score.
    """
    ingest, prepare = select_blocks(name, params)
    arguments = {"project": params.project, "sources": json.dumps(lock.digests(), sort_keys=True) if lock else ""}
    if name != "scoring":
        arguments["params"] = params.model_dump_json(
            by_alias=True, exclude_unset=True
        )  # resources have only what they set
    for table in PIPELINE_TABLES[name]:
        arguments[f"ingest_{table}"] = Ingest.model_validate({table: ingest.source(table)}).to_json()
        arguments[f"prepare_{table}"] = prepare.for_table(table).to_json()
    return arguments | {f"{stage}_params": params.block(stage).to_json() for stage in STAGES[name]}


def stage_name(label: str) -> str:
    """Return the stage of an executor, such as exec-train-gan or exec-evaluate-2."""
    return re.sub(r"^exec-|-\d+$", "", label).replace("-", "_")


def select_blocks(name: str, params: Params) -> tuple[Ingest, Prepare]:
    """Return the parameters that ingest and prepare the tables of a pipeline; tuning reads that of its stage alone."""
    if name == "scoring":
        return build_scoring_blocks(params)
    if name == "training":
        return params.ingest, params.prepare
    table = next(spec.table for spec in MODELS.values() if spec.stage == params.tune.stage)
    return Ingest.model_validate({table: params.ingest.source(table)}), params.prepare


def build_scoring_blocks(params: Params) -> tuple[Ingest, Prepare]:
    """
    Return the parameters that ingest and prepare all tables to score, with nothing held out.

    Raises ConfigError if there is nothing to score, or if the result would be lost with the pod.
    """
    sources = {"creatives": params.score.creatives, "events": params.score.events}
    if not any(sources.values()):
        raise ConfigError("score: nothing to score; give score.creatives or score.events a source")
    if not params.score.to.startswith("s3://"):
        raise ConfigError(f"score.to: {params.score.to} is lost with its pod; expected s3://bucket/prefix")
    sources["impressions"] = params.drift.impressions
    whole = Period(holdout_start=NEVER, end=NEVER + timedelta(days=1))
    return Ingest.model_validate(sources), params.prepare.model_copy(update={"events": whole, "impressions": whole})


def distributed_stages(params: Params) -> set[str]:
    """Return the stages that train in several processes."""
    return {stage for stage, block in params.trainings.items() if block.enabled and block.processes > 1}


def _container(image: str, resources: PodResources, training: PodResources | None) -> Spec:
    """Return a pod's container; `training` has the resources of the pods that it starts."""
    _, _, digest = image.partition("@")
    variables = {"ADLOOM_IMAGE_DIGEST": digest} if digest else {}
    if training is not None:
        variables |= {"ADLOOM_IMAGE": image, "ADLOOM_PLACE": training.to_json()}
    env = {"env": [{"name": name, "value": value} for name, value in variables.items()]} if variables else {}
    return {"image": image, "resources": _limits(resources)} | env


def _limits(resources: PodResources) -> Spec:
    """Return equal requests and limits, so that a pod has guaranteed resources."""
    limits = {"resourceCpuLimit": resources.cpu, "resourceMemoryLimit": resources.memory}
    requests = {"resourceCpuRequest": resources.cpu, "resourceMemoryRequest": resources.memory}
    count = {"resourceType": resources.gpu_type, "resourceCount": str(resources.gpu)}
    gpu = {"accelerator": count} if resources.gpu else {}
    return limits | requests | gpu


def _scheduling(resources: PodResources) -> Spec:
    scheduling: Spec = {"activeDeadlineSeconds": str(resources.timeout_minutes * 60)}
    if resources.node_selector:
        scheduling["nodeSelector"] = {"labels": dict(resources.node_selector)}
    if resources.tolerations:
        scheduling["tolerations"] = [
            {"key": each.key, "effect": each.effect, "operator": "Exists"}
            if each.value is None
            else {"key": each.key, "effect": each.effect, "operator": "Equal", "value": each.value}
            for each in resources.tolerations
        ]
    return scheduling
