"""Inference of ONNX models, without torch."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from adloom.arrays import Float32Array, Int64Array
from adloom.errors import ArtifactError
from adloom.onnx_models.bounded_session import BoundedSession
from adloom.threads import lower_priority

TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"  # without it, ONNX Runtime reports every session to Microsoft with a device id


def open_session(model: Path | bytes, threads: int, seconds: float | None = None) -> Any:
    """
    Open an ONNX file, or its content, on the CPU; equal threads give equal bytes on one CPU type.

    With `seconds`, a longer inference raises UnavailableError.
    """
    os.environ.setdefault(TELEMETRY_OFF, "1")  # read when onnxruntime is imported, which happens here and nowhere else
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads would occupy a core
    content = model if isinstance(model, bytes) else str(model)
    create = partial(onnxruntime.InferenceSession, content, options, providers=["CPUExecutionProvider"])
    if seconds is None:
        return create()
    with ThreadPoolExecutor(1, initializer=lower_priority) as pool:  # the session's threads inherit its priority
        return BoundedSession(pool.submit(create).result(), onnxruntime.RunOptions, seconds)


@dataclass(frozen=True)
class ReaderOutput:
    """The output of the picture reader."""

    probabilities: Float32Array  # (batch, categories), rows sum to 1
    embedding: Float32Array  # (batch, dimensions), rows of unit length


class Generator:
    """The picture generator, generator.onnx."""

    def __init__(self, folder: Path, threads: int, seconds: float | None = None) -> None:
        self._session = open_session(folder / "generator.onnx", threads, seconds)
        z, condition = self._session.get_inputs()
        if condition.name != "condition":
            raise ArtifactError(f"{folder}: made by another version of adloom; run `adloom train-gan` again")
        self.latent: int = z.shape[1]
        self.columns: int = condition.shape[1]

    def __call__(self, z: Float32Array, condition: Float32Array) -> Float32Array:
        """Map z (batch, latent) and condition (batch, columns) to pictures (batch, channels, height, width)."""
        return self._session.run(None, {"z": z, "condition": condition})[0]  # type: ignore[no-any-return]


class Reader:
    """The picture reader, reader.onnx."""

    def __init__(self, folder: Path, threads: int, seconds: float | None = None) -> None:
        self._session = open_session(folder / "reader.onnx", threads, seconds)

    def __call__(self, picture: Float32Array) -> ReaderOutput:
        """Read pictures (batch, channels, height, width), float32 in [-1, 1]."""
        probabilities, embedding = self._session.run(["probabilities", "embedding"], {"picture": picture})
        return ReaderOutput(probabilities, embedding)

    def locate_evidence(self, picture: Float32Array) -> Float32Array | None:
        """Return the evidence for each category by place (batch, categories, height, width); older models have none."""
        if "evidence" not in {output.name for output in self._session.get_outputs()}:
            return None
        return self._session.run(["evidence"], {"picture": picture})[0]  # type: ignore[no-any-return]

    def read_attributes(self, picture: Float32Array) -> Float32Array:
        """Return the probabilities (batch, values) of the values of each attribute in turn, if the model has any."""
        return self._session.run(["attributes"], {"picture": picture})[0]  # type: ignore[no-any-return]


class Stylizer:
    """The stylizer, stylizer.onnx."""

    def __init__(self, folder: Path, threads: int, seconds: float | None = None) -> None:
        self._session = open_session(folder / "stylizer.onnx", threads, seconds)

    def __call__(self, content: Float32Array, style: Float32Array, strength: Float32Array) -> Float32Array:
        """Paint contents (batch, 3, height, width) in [-1, 1] in the styles; edges are multiples of 8, at least 16."""
        inputs = {"content": content, "style": style, "strength": strength}
        return self._session.run(None, inputs)[0]  # type: ignore[no-any-return]


class DreamGradient:
    """The gradient of DeepDream, dream.onnx."""

    def __init__(self, folder: Path, threads: int, seconds: float | None = None) -> None:
        self._session = open_session(folder / "dream.onnx", threads, seconds)
        self.layers: int = self._session.get_inputs()[1].shape[0]

    def __call__(self, picture: Float32Array, layer: int) -> Float32Array:
        """Return the gradient of a layer's activation by a picture (1, 3, height, width); edges are multiples of 32."""
        weights = np.eye(self.layers, dtype=np.float32)[layer]
        return self._session.run(None, {"picture": picture, "weights": weights})[0]  # type: ignore[no-any-return]


@dataclass(frozen=True)
class LstmState:
    """The state of an LSTM: (layers, batch, hidden) each."""

    h: Float32Array
    c: Float32Array


class SequenceOnnx:
    """An LSTM that continues token sequences."""

    FILE: ClassVar[str]

    def __init__(self, folder: Path, threads: int, seconds: float | None = None) -> None:
        self._session = open_session(folder / self.FILE, threads, seconds)
        self.layers, _, self.hidden = self._session.get_inputs()[1].shape

    def start(self, batch: int) -> LstmState:
        """Return the state before the first token."""
        return LstmState(*np.zeros((2, self.layers, batch, self.hidden), np.float32))

    def __call__(self, token: Int64Array, state: LstmState) -> tuple[Float32Array, LstmState]:
        """Map tokens (batch, sequence) to logits (batch, sequence, vocabulary) and the next state."""
        logits, h, c = self._session.run(["logits", "h_out", "c_out"], {"token": token, "h": state.h, "c": state.c})
        return logits, LstmState(h, c)


class Copywriter(SequenceOnnx):
    """The copywriter, copywriter.onnx."""

    FILE = "copywriter.onnx"


class Composer(SequenceOnnx):
    """The composer, composer.onnx."""

    FILE = "composer.onnx"


class ItemEncoder:
    """The LSTM over items, encoder.onnx."""

    def __init__(self, folder: Path, threads: int, seconds: float | None = None) -> None:
        self._session = open_session(folder / "encoder.onnx", threads, seconds)
        self._layers, _, self._hidden = self._session.get_inputs()[1].shape

    def __call__(self, token: Int64Array) -> Float32Array:
        """Map tokens (batch, sequence) to features (batch, sequence, hidden)."""
        h, c = np.zeros((2, self._layers, len(token), self._hidden), np.float32)
        return self._session.run(None, {"token": token, "h": h, "c": c})[0]  # type: ignore[no-any-return]
