"""The hand-written gradient of DeepDream equals torch's, and ONNX Runtime's at any size."""

import pytest
import torch
from tests.support.random_efficientnet import write_weights

from adloom.creatives.dream_net import DreamGradient
from adloom.creatives.efficientnet import EfficientNetLite0, load_efficientnet


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> EfficientNetLite0:
    return load_efficientnet(write_weights(tmp_path_factory.mktemp("weights")))


@pytest.mark.parametrize(("blocks", "size"), [(1, (32, 32)), (3, (32, 64)), (8, (64, 32)), (16, (96, 64))])
def test_the_gradient_equals_automatic_differentiation(
    net: EfficientNetLite0, blocks: int, size: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(blocks)
    picture = (torch.rand((1, 3, *size), generator=generator) * 2 - 1).requires_grad_()
    weights = torch.rand(blocks, generator=generator)
    outputs = net.list_outputs(picture, blocks - 1)
    loss = sum(weight * output.square().sum() / 2 for weight, output in zip(weights, outputs, strict=True))
    (expected,) = torch.autograd.grad(loss, picture)
    actual = DreamGradient(net, blocks)(picture.detach(), weights)
    assert expected.abs().max() > 0
    torch.testing.assert_close(actual, expected / expected.abs().max(), atol=1e-4, rtol=0)
