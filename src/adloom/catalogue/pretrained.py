"""Convert published weights of networks to safetensors."""

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from adloom.catalogue.formats import Members

if TYPE_CHECKING:
    from adloom.arrays import Float32Array, Float64Array

EPSILON = 1e-3  # of EfficientNet's batch norms
NORMS = {"conv_stem": "bn0", "expand_conv": "bn0", "depthwise_conv": "bn1", "project_conv": "bn2", "conv_head": "bn1"}
NAMES = {"conv_stem": "stem", "conv_head": "head"}
CONVOLUTION = re.compile(r"(?P<block>(?:_blocks\.\d+\.)?)_(?P<name>\w+)\.weight")


def convert_efficientnet(members: Members) -> dict[str, bytes]:
    """Return EfficientNet's convolutions, each with its batch norm folded into it. The classifier is left out."""
    import torch
    from safetensors.numpy import save

    (content,) = members.values()
    published = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    arrays = {name: tensor.double().numpy() for name, tensor in published.items()}
    folded: dict[str, Float32Array] = {}
    for name in arrays:
        if (match := CONVOLUTION.fullmatch(name)) and match["name"] in NORMS:
            weight, bias = _fold(arrays, name, f"{match['block']}_{NORMS[match['name']]}")
            layer = match["block"].removeprefix("_") + NAMES.get(match["name"], match["name"].removesuffix("_conv"))
            folded |= {f"{layer}.weight": weight, f"{layer}.bias": bias}
    return {"efficientnet-lite0.safetensors": save(dict(sorted(folded.items())))}


def _fold(arrays: Mapping[str, "Float64Array"], weight: str, norm: str) -> tuple["Float32Array", "Float32Array"]:
    """Return the weight and bias of a convolution that computes what the convolution and its norm compute."""
    import numpy as np

    scale = arrays[f"{norm}.weight"] / np.sqrt(arrays[f"{norm}.running_var"] + EPSILON)
    bias = arrays[f"{norm}.bias"] - arrays[f"{norm}.running_mean"] * scale
    folded = arrays[weight] * scale[:, None, None, None]
    return np.ascontiguousarray(folded, np.float32), bias.astype(np.float32)  # the published ones are transposed
