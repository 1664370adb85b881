"""The product of 8-bit integers is exact."""

import numpy as np
from onnx import TensorProto, helper

from adloom.onnx_models.integer_product import MODEL, IntegerProduct


def test_the_largest_sums_are_exact() -> None:
    rng = np.random.default_rng(1)
    vector, matrix = rng.integers(0, 128, 65).astype(np.uint8), rng.integers(-127, 128, (65, 500)).astype(np.int8)
    vector[:40], matrix[:40, :2], matrix[:40, 2] = 127, 127, -127
    expected = vector.astype(np.int64) @ matrix.astype(np.int64)
    assert IntegerProduct()(vector, matrix).tolist() == expected.tolist()


def test_the_model_is_what_onnx_builds() -> None:
    inputs = [
        helper.make_tensor_value_info("vector", TensorProto.UINT8, [1, "width"]),
        helper.make_tensor_value_info("matrix", TensorProto.INT8, ["width", "items"]),
    ]
    output = helper.make_tensor_value_info("product", TensorProto.INT32, [1, "items"])
    node = helper.make_node("MatMulInteger", ["vector", "matrix"], ["product"])
    graph = helper.make_graph([node], "product", inputs, [output])
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    assert built.SerializeToString() == MODEL
