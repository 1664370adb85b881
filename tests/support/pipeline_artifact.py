"""An artifact as Kubeflow Pipelines passes it to a component."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class PipelineArtifact:
    """An artifact in a local folder."""

    path: str
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """Return its URI."""
        return self.path
