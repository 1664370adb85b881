"""MLmodel: what lets MLflow and its tools load an artifact: flavors, signature, input example."""

import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

EXAMPLE_ROWS = 1


def write(artifact: Path, place: Path, run_id: str) -> None:
    """Write the artifact's files into a folder, with an MLmodel, its input example and its requirements beside them."""
    from mlflow.models import Model

    shutil.copytree(artifact, place, dirs_exist_ok=True)
    model = Model(run_id=run_id, artifact_path="model")
    onnx_file = next(iter(sorted(artifact.glob("*.onnx"))), None)
    policy = artifact / "policy.npz"
    if onnx_file:
        example = _add_onnx(model, onnx_file)
    else:
        example = _add_policy(model, policy) if policy.is_file() else _add_segmenter(model, artifact / "segmenter.npz")
    _save_example(model, example, place)
    model.save(str(place / "MLmodel"))


def _add_onnx(model: Any, file: Path) -> Mapping[str, Any]:
    """Add the onnx flavor, loadable as a python_function too, and return an input example of zeros."""
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    from adloom.onnx_models.runtime import open_session

    opened = open_session(file, threads=1)
    model.signature = ModelSignature(*(Schema(_specs(ports)) for ports in (opened.get_inputs(), opened.get_outputs())))
    pyfunc.add_to_model(model, loader_module="mlflow.onnx", data=file.name)
    model.add_flavor("onnx", onnx_version=version("onnx"), data=file.name, providers=["CPUExecutionProvider"])
    return {port.name: np.zeros(_shape(port, EXAMPLE_ROWS), _dtype(port)) for port in opened.get_inputs()}


def _specs(ports: list[Any]) -> list[Any]:
    from mlflow.types import TensorSpec

    return [TensorSpec(_dtype(port), _shape(port, -1), port.name) for port in ports]


def _shape(port: Any, free: int) -> tuple[int, ...]:
    return tuple(length if isinstance(length, int) else free for length in port.shape)


def _dtype(port: Any) -> np.dtype[Any]:
    return np.dtype({"tensor(float)": np.float32, "tensor(int64)": np.int64}[port.type])


def _add_segmenter(model: Any, file: Path) -> Any:
    """Add the signature of the audience segmenter, which adloom alone scores, and return its median user."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    with np.load(file, allow_pickle=False) as arrays:
        features, median = [str(name) for name in arrays["features"]], arrays["median"]
    columns = [ColSpec(DataType.double, name, required=False) for name in features]  # null where not known
    model.signature = ModelSignature(Schema(columns), Schema([ColSpec(DataType.string, "segment")]))
    return dict(zip(features, median.tolist(), strict=True))


def _add_policy(model: Any, file: Path) -> Any:
    """Add the signature of the policy, which adloom alone scores: a candidate in a context, to its probability."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    from adloom.policy.scorer import Policy

    policy = Policy.load(file)
    context = {column: "" for feature in policy.features for column in feature}
    columns = [ColSpec(DataType.string, name, required=False) for name in context]  # null where not known
    creative = ColSpec(DataType.string, "creative_id")
    model.signature = ModelSignature(Schema([*columns, creative]), Schema([ColSpec(DataType.double, "probability")]))
    return {**context, "creative_id": policy.creatives[0] if policy.creatives else "a new creative"}


def _save_example(model: Any, example: Any, place: Path) -> None:
    from mlflow.models.utils import _Example  # the writer behind every flavor's save_model; no public one takes a Model

    saved = _Example(example)
    saved.save(str(place))
    model.saved_input_example_info = saved.info
