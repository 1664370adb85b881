"""Published weights: their batch norms are folded into the convolutions."""

import io

import numpy as np
import torch
from safetensors.numpy import load

from adloom.catalogue.pretrained import convert_efficientnet


def test_a_norm_is_folded_into_its_convolution() -> None:
    """Weights 2 and -1 with mean 3, variance 4 - 0.001, scale 6 and shift 1: 6 / 2 = 3 times each, and 1 - 3 * 3."""
    norm = {"weight": 6.0, "bias": 1.0, "running_mean": 3.0, "running_var": 4 - 1e-3}
    published = {f"_blocks.0._bn1.{name}": torch.tensor([value], dtype=torch.float64) for name, value in norm.items()}
    published["_blocks.0._depthwise_conv.weight"] = torch.tensor([[[[2.0], [-1.0]]]]).transpose(2, 3)  # not in order
    published["_fc.weight"] = torch.ones(2, 1)
    stream = io.BytesIO()
    torch.save(published, stream)
    converted = convert_efficientnet({"net.pth": stream.getvalue()})
    arrays = load(converted["efficientnet-lite0.safetensors"])
    assert arrays.keys() == {"blocks.0.depthwise.bias", "blocks.0.depthwise.weight"}
    np.testing.assert_allclose(arrays["blocks.0.depthwise.weight"], [[[[6, -3]]]], rtol=1e-6)
    np.testing.assert_allclose(arrays["blocks.0.depthwise.bias"], [-8], rtol=1e-6)
