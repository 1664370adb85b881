"""An artifact as Kubeflow Pipelines hands it to a component."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class PipelineArtifact:
    """An artifact that is kept where it is made."""

    path: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """Where the pipeline keeps it."""
        return self.path
