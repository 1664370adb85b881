"""Measure stylised pictures: style and content losses, and the optimised pictures to compare with."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from adloom.arrays import Float32Array, Float64Array
from adloom.creatives.efficientnet import EfficientNetLite0
from adloom.creatives.gram_transfer_net import transfer_style
from adloom.creatives.style_losses_net import BLOCKS, compute_grams, content_loss, pretrained_features, style_loss

FILE = "judge.safetensors"


class StyleJudge:
    """The pretrained layers in which pictures (batch, 3, height, width) in [-1, 1] are compared."""

    def __init__(self, folder: Path, threads: int) -> None:
        torch.set_num_threads(threads)
        net = EfficientNetLite0()
        net.blocks = net.blocks[: BLOCKS[-1] + 1]
        net.load_state_dict(load_file(folder / FILE), strict=False)  # without the head
        self._features = pretrained_features(net.eval().requires_grad_(False))

    @torch.no_grad()
    def measure(
        self, pictures: Float32Array, contents: Float32Array, styles: Float32Array
    ) -> tuple[Float64Array, Float64Array]:
        """Return style and content losses (pictures,)."""
        ours, content, style = (
            self._features.compute(torch.from_numpy(batch)) for batch in (pictures, contents, styles)
        )
        number = self._features.content
        losses = style_loss(ours, compute_grams(style)), content_loss(ours[number], content[number])
        return losses[0].double().numpy(), losses[1].double().numpy()

    def optimise(self, content: Float32Array, style: Float32Array, steps: int, seed: int) -> Float32Array:
        """Return one picture (1, 3, height, width) by optimisation of its pixels."""
        pair = torch.from_numpy(content), torch.from_numpy(style)
        return transfer_style(*pair, self._features, strength=1, steps=steps, seed=seed).numpy()


def save_judge(net: EfficientNetLite0, folder: Path) -> None:
    """Write the layers that a StyleJudge needs."""
    kept = tuple(f"blocks.{number}." for number in range(BLOCKS[-1] + 1))
    weights = {name: tensor for name, tensor in net.state_dict().items() if name.startswith(("stem.", *kept))}
    save_file(weights, folder / FILE)
