"""Export torch modules to ONNX, and compare the file with torch."""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import torch

from adloom.errors import AdloomError
from adloom.onnx_models.runtime import open_session

Tensors = Mapping[str, torch.Tensor]

TOLERANCE = 1e-4  # largest absolute difference to torch, in float32
BATCHES = [(batch,) for batch in (1, 2, 7, 64)]
SEQUENCES = list(product((1, 2, 7), (1, 5, 64)))  # (batch, sequence)
TRACE_LENGTH = 2  # length of each axis while tracing: an exporter may freeze an axis of length 1


def export(
    module: torch.nn.Module,
    example: Callable[..., Tensors],
    path: Path,
    *,
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
    shapes: Sequence[tuple[int, ...]],
) -> None:
    """
    Write a module as ONNX, and compare the file with the module on an example of each shape.

    `example(*shape)` returns the named inputs in the order of `forward`; `dynamic` names the axes that may change.
    Raises AdloomError when a shape fails or differs by more than TOLERANCE. The bytes depend on the module alone: the
    tracing exporter, unlike dynamo, writes no source paths and freezes no axes.
    """
    module = copy.deepcopy(module).float().cpu().eval()
    module = module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload] # torch's stub lacks it
    traced = example(*(TRACE_LENGTH for _ in shapes[0]))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracing exporter warns that it is the older one
        torch.onnx.export(
            module,
            tuple(traced.values()),
            str(path),
            input_names=list(traced),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in dynamic.items()},
            dynamo=False,
        )
    _strip(path)
    _compare(module, path, [example(*shape) for shape in shapes], outputs)


def _strip(path: Path) -> None:
    model = onnx.load(str(path))
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _compare(module: torch.nn.Module, path: Path, examples: Sequence[Tensors], outputs: Sequence[str]) -> None:
    runtime = open_session(path, threads=1)
    for inputs in examples:
        shape = {name: tuple(tensor.shape) for name, tensor in inputs.items()}
        with torch.no_grad():
            expected = module(*inputs.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
        try:
            actual = runtime.run(list(outputs), {name: tensor.numpy() for name, tensor in inputs.items()})
        except Exception as error:
            raise AdloomError(f"{path.name}: onnxruntime cannot run it on {shape}: {error}") from error
        for name, result, reference in zip(outputs, actual, expected, strict=True):
            _check_close(f"{path.name}: {name} for {shape}", result, reference.numpy())


def _check_close(what: str, actual: np.ndarray, expected: np.ndarray) -> None:
    if actual.shape != expected.shape:
        raise AdloomError(f"{what}: shape {actual.shape} in ONNX, {expected.shape} in torch; the axis was frozen")
    difference = float(np.abs(actual - expected).max())
    if not difference <= TOLERANCE:  # also for NaN
        raise AdloomError(f"{what}: differs from torch by {difference:.2g}, expected at most {TOLERANCE}")
