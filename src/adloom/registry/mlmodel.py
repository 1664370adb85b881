"""MLmodel: flavors, signature and input example, with which MLflow and its tools load an artifact."""

import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np

from adloom.config.models import MODELS, TableSignature


def write(model_name: str, artifact: Path, target: Path, run_id: str) -> None:
    """Copy an artifact's files into a folder and add an MLmodel with its input example."""
    from mlflow.models import Model

    shutil.copytree(artifact, target, dirs_exist_ok=True)
    model = Model(run_id=run_id, artifact_path="model")
    onnx_file = next(iter(sorted(artifact.glob("*.onnx"))), None)
    if onnx_file:
        example = _add_onnx(model, onnx_file)
    else:
        example = _add_columns(model, resolve_name(str(MODELS[model_name].signature))(artifact))
    _save_example(model, example, target)
    model.save(str(target / "MLmodel"))


def _add_onnx(model: Any, file: Path) -> Mapping[str, Any]:
    """Add the onnx flavor, which also loads as python_function, and return an input example of zeros."""
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    from adloom.onnx_models.runtime import open_session

    session = open_session(file, threads=1)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    model.signature = ModelSignature(Schema(_tensor_specs(inputs)), Schema(_tensor_specs(outputs)))
    pyfunc.add_to_model(model, loader_module="mlflow.onnx", data=file.name)
    model.add_flavor("onnx", onnx_version=version("onnx"), data=file.name, providers=["CPUExecutionProvider"])
    return {port.name: np.zeros(_shape(port, 1), _dtype(port)) for port in inputs}


def _tensor_specs(ports: list[Any]) -> list[Any]:
    from mlflow.types import TensorSpec

    return [TensorSpec(_dtype(port), _shape(port, -1), port.name) for port in ports]


def _shape(port: Any, dynamic: int) -> tuple[int, ...]:
    return tuple(length if isinstance(length, int) else dynamic for length in port.shape)


def _dtype(port: Any) -> np.dtype[Any]:
    return np.dtype({"tensor(float)": np.float32, "tensor(int64)": np.int64}[port.type])


def _add_columns(model: Any, table: TableSignature) -> Mapping[str, Any]:
    """Add the signature of a model that only adloom can run, and return its input example."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = [ColSpec(kind, name, required=name not in table.optional) for name, kind in table.inputs.items()]
    name, kind = table.output
    model.signature = ModelSignature(Schema(inputs), Schema([ColSpec(kind, name)]))
    return table.example


def _save_example(model: Any, example: Any, target: Path) -> None:
    from mlflow.models.utils import _Example  # every flavor's save_model uses it; no public function takes a Model

    saved = _Example(example)
    saved.save(str(target))
    model.saved_input_example_info = saved.info
