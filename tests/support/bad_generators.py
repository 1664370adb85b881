"""Picture generators that match their card but never end or exhaust memory."""

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.support.tiny_models import CATEGORIES, EDGE, LATENT, PARAMS, write_card

from adloom.storage import manifest

BILLION = 10**9
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL

Burden = Literal["loops", "loops with noise", "takes memory"]


def write_bad_generator(target: Path, burden: Burden) -> None:
    """Write a generator: each category is a shade, and a burden of zeros is added to each pixel."""
    nodes, weights = _burden(burden)
    nodes += [
        helper.make_node("MatMul", ["condition", "shades"], ["shade"]),
        helper.make_node("Add", ["shade", "burden"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["picture"]),
    ]
    weights["shades"] = np.linspace(-0.9, 0.9, len(CATEGORIES), dtype=np.float32)[:, None].repeat(EDGE * EDGE, 1)
    weights["shape"] = np.array([-1, 1, EDGE, EDGE])
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "by hand",
        [value("z", FLOAT, ["batch", LATENT]), value("condition", FLOAT, ["batch", len(CATEGORIES)])],
        [value("picture", FLOAT, ["batch", 1, EDGE, EDGE])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    with manifest.draft(target, "train_gan", PARAMS, {}) as draft:
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, draft.path / "generator.onnx")
        write_card(draft.path, {"height": EDGE, "width": EDGE, "channels": 1})


def _burden(burden: Burden) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    if burden == "takes memory":
        zeros = helper.make_node("ConstantOfShape", ["many"], ["zeros"])
        total = helper.make_node("ReduceSum", ["zeros"], ["burden"], keepdims=0)
        return [zeros, total], {"many": np.array([BILLION])}
    loop = helper.make_node("Loop", ["turns", "", "start"], ["burden"], body=_body())
    weights = {"start": np.zeros(1, np.float32), "most": np.array(BILLION)}
    if burden == "loops":
        return [helper.make_node("Identity", ["most"], ["turns"]), loop], weights
    noise = [  # turns: a billion if any z is above 0; the loader's trial uses zeros
        helper.make_node("ReduceMax", ["z"], ["highest"], keepdims=0),
        helper.make_node("Greater", ["highest", "nothing"], ["noisy"]),
        helper.make_node("Cast", ["noisy"], ["factor"], to=INT64),
        helper.make_node("Mul", ["factor", "most"], ["turns"]),
    ]
    return [*noise, loop], {**weights, "nothing": np.array(0, np.float32)}


def _body() -> onnx.GraphProto:
    """Return the body of a loop that adds zero."""
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["sum", "zero"], ["next"])]
    return helper.make_graph(
        nodes, "body",
        [value("turn", INT64, []), value("go", BOOL, []), value("sum", FLOAT, [1])],
        [value("go_on", BOOL, []), value("next", FLOAT, [1])],
        [numpy_helper.from_array(np.zeros(1, np.float32), "zero")],
    )  # fmt: skip
