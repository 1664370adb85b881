"""The card of a model, and the check of its first output."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from adloom.arrays import Float32Array
from adloom.creatives.conditions import ConditionSpace
from adloom.errors import ArtifactError

INFERENCE_TIMEOUT = 10.0  # seconds for one inference


class ImageSize(BaseModel):
    """Size of a model's pictures."""

    height: int
    width: int
    channels: int


class ModelCard(BaseModel):
    """The fields of card.json that serving reads."""

    categories: list[str] = []
    attributes: dict[str, list[str]] = {}
    image: ImageSize | None = None
    audience: str | None = None  # digest of the audience that a policy or a recommender was trained with
    chosen: str | dict[str, Any] | None = None  # model of a recommender; others describe theirs
    reader: str | None = None  # digest of the picture reader that a policy was trained with
    text_encoder: str | None = None  # digest of the sentence encoder that a policy was trained with

    @property
    def conditions(self) -> ConditionSpace:
        """The columns of a condition."""
        return ConditionSpace(self.categories, self.attributes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width). Raises ArtifactError without an image size."""
        if self.image is None:
            raise ArtifactError("card.json: no image size; train the model again")
        return self.image.channels, self.image.height, self.image.width


def check_output(folder: Path, what: str, output: Float32Array, shape: tuple[int, ...]) -> None:
    """Raise ArtifactError unless an output is finite and has the shape of the card."""
    if output.shape != shape:
        raise ArtifactError(f"{folder}: {what} are {output.shape}, card.json promises {shape}; train it again")
    if not np.isfinite(output).all():
        raise ArtifactError(f"{folder}: {what} are not finite; train it again")
