"""Kubernetes resources of each stage: the block `pipeline` of params.yaml."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from adloom import __version__
from adloom.config.base import ConfigModel, require_match
from adloom.config.models import MODELS

Cpu = Annotated[str, require_match(r"\d+(\.\d+)?|\d+m", "a number of CPUs, such as 2 or 500m")]
Memory = Annotated[str, require_match(r"\d+(\.\d+)?[KMGTP]i?", "a size, such as 2Gi")]
COMPILED_FOLDER = Path("pipelines/compiled")  # of a project
COMPONENTS = {  # steps that run in their own pod
    *("snapshot", "prepare", *(spec.task for spec in MODELS.values())),
    *("evaluate", "register", "score", "drift", "propose_trials", "tune_trial", "summarize_trials", "finish"),
}


class Toleration(ConfigModel):
    """A node taint that a stage's pod tolerates."""

    key: str = Field(description="Key of the taint.")
    value: str | None = Field(None, description="Value of the taint; any if absent.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        "NoSchedule", description="Effect of the taint."
    )


class PodResources(ConfigModel):
    """Node resources that a stage's pod requests."""

    cpu: Cpu = Field("1", description="CPUs: request and limit.")
    memory: Memory = Field("2Gi", description="Memory: request and limit.")
    gpu: int = Field(0, ge=0, description="Number of GPUs.")
    gpu_type: str = Field("nvidia.com/gpu", description="Name of the GPU resource.")
    node_selector: dict[str, str] = Field({}, description="Labels the node must have.")
    tolerations: list[Toleration] = Field([], description="Node taints to tolerate.")
    timeout_minutes: int = Field(60, gt=0, description="The stage fails and its pod is stopped after this time.")


class Pipeline(ConfigModel):
    """How stages run on Kubernetes."""

    image: str = Field(
        f"adloom-train:{__version__}",
        description="Image of every stage; by default that of this version. Use a digest to keep caches valid.",
    )
    default: PodResources = Field(PodResources(), description="Resources of stages that `stages` does not list.")
    stages: dict[str, PodResources] = Field({}, description="Stage: its resources; unset fields come from `default`.")
    cooldown_minutes: int = Field(0, ge=0, description="Minimum time between two triggered runs.")

    def resources_for(self, stage: str) -> PodResources:
        """Return a stage's resources; unset fields come from the default."""
        own = self.stages.get(stage, self.default)
        return self.default.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})
