"""
EfficientNet-Lite0 (Tan & Le 2019, without squeeze-and-excitation), pretrained on ImageNet: features of any picture.

The batch norms are folded into the convolutions, and the classifier is left out. Nothing is trained here.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from adloom.arrays import Float32Array, UInt8Array

BATCH = 64  # pictures read at once
STEM, HEAD = 32, 1280  # channels of the first and of the last layer
EDGE = 128  # pixels to which pictures are resized: at 96, icons are told apart less well
TEXTURE_BLOCK, TEXTURE_CHANNELS = 10, 112  # the last block has lost what tells a grey square from a picture
TEXTURE_EDGE = 64
FEATURES = HEAD + TEXTURE_CHANNELS
TEXTURE_SCALE = 1 / 16  # makes values of about 1
STAGES = (  # (blocks, kernel, stride of the first block, expansion, channels)
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """Maps RGB pictures (batch, 3, height, width) in [-1, 1] to features (batch, FEATURES)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, stride=2)
        self.blocks = nn.ModuleList(_build_blocks())
        self.head = nn.Conv2d(STAGES[-1][-1], HEAD, 1)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Return the features, averaged over the picture."""
        return self.compute_map(picture).mean((2, 3))

    def compute_map(self, picture: torch.Tensor) -> torch.Tensor:
        """Return the features of the last layer and of textures by place (batch, FEATURES, height / 32, width / 32)."""
        outputs = self.list_outputs(picture)
        textures = functional.avg_pool2d(outputs[TEXTURE_BLOCK], 2)
        return torch.cat([functional.relu6(self.head(outputs[-1])), textures], 1)

    def list_outputs(self, picture: torch.Tensor, last: int | None = None) -> list[torch.Tensor]:
        """Return the outputs of the blocks up to number `last`, (batch, channels, height, width) each."""
        return run_blocks(self.stem, self.blocks[: None if last is None else last + 1], picture)


class Convolution(nn.Conv2d):
    """A convolution padded as TensorFlow pads an even edge: a stride of 2 adds more at the right and at the bottom."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, groups: int = 1) -> None:
        left = (kernel - stride) // 2
        super().__init__(before, after, kernel, stride, left, groups=groups)
        self.around = left, kernel - stride - left

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the padded convolution."""
        left, right = self.around
        return super().forward(functional.pad(x, [0, right - left] * 2) if right > left else x)


class Block(nn.Module):
    """An inverted residual block (Sandler et al. 2018): expand, convolve each channel, project."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = before * expansion
        self.expand = nn.Conv2d(before, inside, 1) if expansion > 1 else None
        self.depthwise = Convolution(inside, inside, kernel, stride, groups=inside)
        self.project = nn.Conv2d(inside, after, 1)
        self.has_shortcut = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's features."""
        inside = functional.relu6(self.expand(x)) if self.expand else x
        output: torch.Tensor = self.project(functional.relu6(self.depthwise(inside)))
        return x + output if self.has_shortcut else output


def run_blocks(stem: nn.Module, blocks: Iterable[nn.Module], picture: torch.Tensor) -> list[torch.Tensor]:
    """Return the outputs of blocks behind the stem, each (batch, channels, height, width)."""
    outputs = [functional.relu6(stem(picture))]
    for block in blocks:
        outputs.append(block(outputs[-1]))
    return outputs[1:]


def load_efficientnet(path: Path) -> EfficientNetLite0:
    """Return the network with the weights of a safetensors file, frozen."""
    net = EfficientNetLite0()
    net.load_state_dict(load_file(path))
    return net.eval().requires_grad_(False)


def to_input(pictures: torch.Tensor, edge: int = EDGE) -> torch.Tensor:
    """Return pictures (batch, 1 or 3, height, width) in [-1, 1] as RGB of `edge` pixels, smoothly resized."""
    if max(pictures.shape[2:]) > edge:
        rows, columns = (torch.from_numpy(_shrink(int(size), edge)).to(pictures) for size in pictures.shape[2:])
        resized = rows @ pictures @ columns.T
    else:
        resized = functional.interpolate(pictures, (edge, edge), mode="bilinear", align_corners=False)
    return resized.expand(-1, 3, -1, -1)


def _shrink(size: int, edge: int) -> Float32Array:
    """Return the matrix (edge, size) of a bilinear resize that averages where it shrinks; torch exports no such one."""
    centre = (np.arange(edge)[:, None] + 0.5) * size / edge - 0.5
    share = np.maximum(0, 1 - np.abs(np.arange(size) - centre) / max(size / edge, 1))
    matrix: Float32Array = (share / share.sum(1, keepdims=True)).astype(np.float32)
    return matrix


@torch.no_grad()
def embed_pictures(net: EfficientNetLite0, batches: Iterable[UInt8Array]) -> Float32Array:
    """Return the features (pictures, FEATURES) of batches of pictures (batch, 1 or 3, height, width)."""
    parts = [net(part).numpy() for part in _split_inputs(batches, EDGE)]
    return np.concatenate([np.empty((0, FEATURES), np.float32), *parts])


@torch.no_grad()
def embed_textures(net: EfficientNetLite0, batches: Iterable[UInt8Array]) -> Float32Array:
    """Return features of shapes and textures, (pictures, channels), in which noise is far from pictures of products."""
    parts = (net.list_outputs(part, TEXTURE_BLOCK)[-1] for part in _split_inputs(batches, TEXTURE_EDGE))
    return np.concatenate([TEXTURE_SCALE * features.mean((2, 3)).numpy() for features in parts])


def _split_inputs(batches: Iterable[UInt8Array], edge: int) -> Iterator[torch.Tensor]:
    for pixels in batches:
        for start in range(0, len(pixels), BATCH):
            part = to_input(torch.from_numpy(pixels[start : start + BATCH]).float() / 127.5 - 1, edge)
            yield part.contiguous(memory_format=torch.channels_last)  # a third faster on CPUs


def _build_blocks() -> Iterator[Block]:
    before = STEM
    for repeats, kernel, stride, expansion, after in STAGES:
        for number in range(repeats):
            yield Block(before, after, kernel, stride if number == 0 else 1, expansion)
            before = after
