"""The origin of a creative: the model and the inputs that made it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SourceType = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "composite"]
SOURCE_TYPE: Literal["trainedAlgorithmicMedia"] = "trainedAlgorithmicMedia"  # of IPTC: a model made it
COMPOSITE: Literal["compositeWithTrainedAlgorithmicMedia"] = "compositeWithTrainedAlgorithmicMedia"
WITHOUT_MODEL: Literal["composite"] = "composite"  # of elements that no model made
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


@dataclass(frozen=True)
class Origin:
    """The model, seed and inputs of a creative."""

    model: str  # its name
    version: int | None = None
    digest: str | None = None  # of the model's artifact
    dataset: str | None = None  # digest of the data that the model learned from
    seed: int | None = None
    number: int | None = None  # among the pictures of one seed
    facts: Mapping[str, str] = field(default_factory=dict)  # such as category, mix, strength or layer
    source_type: SourceType = SOURCE_TYPE

    def describe(self) -> dict[str, str]:
        """Return the known facts as text, for metadata."""
        known = {"model": self.digest or self.model, **self.facts, "seed": self.seed, "number": self.number}
        return {name: str(value) for name, value in known.items() if value is not None}
