"""DeepDream (Mordvintsev et al. 2015): gradient ascent on what a layer sees, over octaves. NumPy only, for serving."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from adloom.arrays import Float32Array, Int64Array

Gradient = Callable[[Float32Array], Float32Array]  # of a layer's activation by a picture (1, 3, height, width)

SCALE = 1.4  # between octaves
STEP = 0.011  # mean change of a pixel by one step and band, in [-1, 1]
BANDS = (2, 4)  # the gradient reduced to these parts of the edge, each as strong; the finest is grain
SMALLEST = 32  # pixels of an octave's shortest edge
SHIFT = 16  # pixels, the largest random shift
MULTIPLE = 32  # of the edges that a gradient accepts: the product of all strides


def dream(
    picture: Float32Array,
    gradient: Gradient,
    *,
    octaves: int,
    steps: int,
    seed: int,
    advance: Callable[[], object] = lambda: None,
) -> Float32Array:
    """
    Return the picture (3, height, width) in [-1, 1] with what the layer sees in it, a function of the arguments.

    `advance` is called after each step, `steps` times per octave; octaves that would be too small are left out.
    """
    rng = np.random.default_rng(seed)
    detail = np.zeros_like(picture)
    for size in list_octaves(picture.shape[1:], octaves):
        base = _resize(picture, size)
        dreamt = base + _resize(detail, size)
        for _ in range(steps):
            dreamt = _climb(dreamt, gradient, rng.integers(0, SHIFT, 2))
            advance()
        detail = dreamt - base
    return dreamt


def list_octaves(size: tuple[int, ...], octaves: int) -> list[tuple[int, int]]:
    """Return the (height, width) of each octave, the smallest first; the last is the size itself."""
    scales = [SCALE**-number for number in reversed(range(octaves))]
    sizes = [(round(size[0] * scale), round(size[1] * scale)) for scale in scales]
    return [small for small in sizes[:-1] if min(small) >= SMALLEST] + sizes[-1:]


def _climb(picture: Float32Array, gradient: Gradient, shift: Int64Array) -> Float32Array:
    """Return the picture after one step, at a random shift against patterns of the strides."""
    height, width = picture.shape[1:]
    below, right = -height % MULTIPLE, -width % MULTIPLE
    moved = np.roll(np.pad(picture, ((0, 0), (0, below), (0, right)), mode="symmetric"), tuple(shift), (1, 2))
    slope = np.roll(gradient(moved[None])[0], tuple(-shift), (1, 2))[:, :height, :width]
    for part in BANDS:
        band = _resize(_resize(slope, (-(-height // part), -(-width // part))), (height, width))
        picture = picture + STEP * band / (np.abs(band).mean() + 1e-12)
    return np.clip(picture, -1, 1).astype(np.float32)


def _resize(picture: Float32Array, size: tuple[int, int]) -> Float32Array:
    height, width = size
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), Image.Resampling.BICUBIC)
        for plane in picture
    ]
    return np.stack([np.asarray(plane) for plane in planes])
