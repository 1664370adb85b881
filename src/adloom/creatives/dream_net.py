"""The gradient of DeepDream as a network of its own, so that serving needs no automatic differentiation."""

import torch
from torch import nn
from torch.nn import functional

from adloom.creatives.efficientnet import Block, Convolution, EfficientNetLite0


class DreamGradient(nn.Module):
    """Maps a picture and a weight per block to the direction in which the blocks' weighted squares grow."""

    def __init__(self, net: EfficientNetLite0, blocks: int) -> None:
        super().__init__()
        self.stem, self.blocks = net.stem, nn.ModuleList(list(net.blocks)[:blocks])

    def forward(self, picture: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the gradient by the picture (1, 3, height, width), scaled to at most 1; edges are multiples of 32."""
        before_stem = self.stem(picture)
        inputs = [functional.relu6(before_stem)]
        for block in self.blocks:
            inputs.append(block(inputs[-1]))
        gradient = torch.zeros_like(inputs[-1])
        for number in reversed(range(len(self.blocks))):
            gradient = gradient + weights[number] * inputs[number + 1]
            gradient = _block_backward(self.blocks[number], inputs[number], gradient)  # type: ignore[arg-type]
        slope = _convolution_backward(self.stem, _relu6_backward(before_stem, gradient))
        return slope / slope.abs().max().clamp_min(1e-12)


def _block_backward(block: Block, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Return the gradient by a block's input x."""
    before_expand = block.expand(x) if block.expand else x
    inside = functional.relu6(before_expand) if block.expand else x
    inner = functional.conv_transpose2d(gradient, block.project.weight)
    inner = _convolution_backward(block.depthwise, _relu6_backward(block.depthwise(inside), inner))
    if block.expand:
        inner = functional.conv_transpose2d(_relu6_backward(before_expand, inner), block.expand.weight)
    return gradient + inner if block.has_shortcut else inner


def _relu6_backward(x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    return gradient * ((x > 0) & (x < 6)).to(gradient.dtype)


def _convolution_backward(layer: Convolution, gradient: torch.Tensor) -> torch.Tensor:
    """Return the gradient by the input of a padded convolution, without the part of the padding."""
    whole = functional.conv_transpose2d(gradient, layer.weight, stride=layer.stride, groups=layer.groups)
    left, right = layer.around
    return whole[:, :, left : -right or None, left : -right or None]
