"""Where stages run on Kubernetes: the block `pipeline` of params.yaml."""

from typing import Literal

from pydantic import Field

from adloom import __version__
from adloom.config.base import ConfigModel
from adloom.config.models import MODELS

COMPONENTS = {  # what runs in a pod of its own
    *("snapshot", "prepare", *(spec.stage for spec in MODELS.values())),
    *("evaluate", "register", "score", "finish"),
}


class Toleration(ConfigModel):
    """A taint of a node that a stage's pod puts up with."""

    key: str = Field(description="Key of the taint.")
    value: str | None = Field(None, description="Its value; any when absent.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = Field("NoSchedule", description="Its effect.")


class PodResources(ConfigModel):
    """What the pod of a stage asks of its node."""

    cpu: str = Field("1", pattern=r"^\d+(\.\d+)?$|^\d+m$", description="CPUs: request and limit.")
    memory: str = Field("2Gi", pattern=r"^\d+(\.\d+)?[KMGTP]i?$", description="Memory: request and limit.")
    gpu: int = Field(0, ge=0, description="Number of GPUs.")
    gpu_type: str = Field("nvidia.com/gpu", description="Name of the GPU resource.")
    node_selector: dict[str, str] = Field({}, description="Labels the node must have.")
    tolerations: list[Toleration] = Field([], description="Taints of the node that are put up with.")
    timeout_minutes: int = Field(60, gt=0, description="After this the pod is ended and the stage has failed.")


class Pipeline(ConfigModel):
    """How the stages run on Kubernetes."""

    image: str = Field(
        f"adloom-train:{__version__}",
        description="Image of every stage; without it that of this version. By digest where caches should hold.",
    )
    default: PodResources = Field(PodResources(), description="The place of a stage that is not named.")
    stages: dict[str, PodResources] = Field({}, description="Stage: its own place; the rest as in default.")
    cooldown_minutes: int = Field(0, ge=0, description="After a run's start, triggers start no other for so long.")

    def resources_for(self, stage: str) -> PodResources:
        """Return where a stage runs: its own place, and the default's where that says nothing."""
        own = self.stages.get(stage, self.default)
        return self.default.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})
