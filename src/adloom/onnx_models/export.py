"""Export to ONNX: from torch to a file that any runtime reads, compared with torch before anyone relies on it."""

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
TRACED = 2  # no axis of the traced example is 1, which an exporter could take for a constant


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

    `example(*shape)` returns the named inputs in the order of `forward`, such as `example(batch, sequence)`; `dynamic`
    names the axes of inputs and outputs that may change: `{"token": {0: "batch", 1: "sequence"}}`. Raises AdloomError
    when a shape cannot be run or differs by more than TOLERANCE.

    The bytes depend on the module alone: the tracing exporter writes no source paths (the dynamo one does, and it
    freezes axes), and doc strings and metadata are dropped.
    """
    module = _plain(module)
    traced = example(*(TRACED for _ in shapes[0]))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that this exporter is the older one; see above
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


def _plain(module: torch.nn.Module) -> torch.nn.Module:
    plain = copy.deepcopy(module).float().cpu().eval()
    return plain.to(memory_format=torch.contiguous_format)  # type: ignore[no-any-return,call-overload] # torch's stub lacks it


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
            found = runtime.run(list(outputs), {name: tensor.numpy() for name, tensor in inputs.items()})
        except Exception as error:
            raise AdloomError(f"{path.name}: onnxruntime cannot run it on {shape}: {error}") from error
        for name, ours, theirs in zip(outputs, found, expected, strict=True):
            _near(f"{path.name}: {name} for {shape}", ours, theirs.numpy())


def _near(what: str, found: np.ndarray, expected: np.ndarray) -> None:
    if found.shape != expected.shape:
        raise AdloomError(f"{what}: shape {found.shape} in ONNX, {expected.shape} in torch; the axis was frozen")
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:  # also when it is not a number
        raise AdloomError(f"{what}: differs from torch by {difference:.2g}, expected at most {TOLERANCE}")
