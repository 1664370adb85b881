"""Open the stylizer."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adloom.onnx_models.runtime import DreamGradient, Stylizer
from adloom.serving.models.card import INFERENCE_TIMEOUT, ModelCard, check_output


@dataclass(frozen=True)
class StyleModel:
    """The stylizer, and the gradient of DeepDream."""

    stylize: Stylizer
    dream: DreamGradient


def open_stylizer(folder: Path, card: ModelCard, threads: int) -> StyleModel:
    """Open the stylizer, paint one picture and dream into it."""
    model = StyleModel(Stylizer(folder, threads, INFERENCE_TIMEOUT), DreamGradient(folder, threads, INFERENCE_TIMEOUT))
    grey = np.zeros((1, 3, 32, 32), np.float32)
    painted = model.stylize(grey, grey, np.ones(1, np.float32))
    check_output(folder, "pictures", painted, grey.shape)
    check_output(folder, "gradients", model.dream(painted, model.dream.layers - 1), grey.shape)
    return model
