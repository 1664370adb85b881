"""Generate and read pictures with the exported networks, in batches that do not grow with the pictures' size."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from adloom.arrays import Float32Array, UInt8Array
from adloom.creatives.pictures import lay_on_white, split_batches, to_floats, to_pixels


class PictureGenerator(Protocol):
    """A generator: z (batch, latent) and condition (batch, columns) to pictures (batch, channels, height, width)."""

    @property
    def latent(self) -> int:
        """Length of z."""

    def __call__(self, z: Float32Array, condition: Float32Array) -> Float32Array:
        """Generate pictures in [-1, 1]."""
        ...


@dataclass(frozen=True)
class OpaqueGenerator:
    """A generator with its transparent pictures on white, as everything that judges them sees them."""

    generator: PictureGenerator

    @property
    def latent(self) -> int:
        """Length of z."""
        return self.generator.latent

    def __call__(self, z: Float32Array, condition: Float32Array) -> Float32Array:
        """Generate pictures of 1 or 3 channels in [-1, 1]."""
        return lay_on_white(self.generator(z, condition))


class Reading(Protocol):
    """The outputs of a reader for a batch of pictures."""

    @property
    def probabilities(self) -> Float32Array:
        """(batch, categories), rows sum to 1."""

    @property
    def embedding(self) -> Float32Array:
        """(batch, dimensions), rows of unit length."""


class PictureReader(Protocol):
    """A reader: pictures (batch, channels, height, width) in [-1, 1] to a Reading."""

    def __call__(self, picture: Float32Array) -> Reading:
        """Read pictures."""
        ...


def generate_pictures(
    generator: PictureGenerator, condition: Float32Array, shape: tuple[int, int, int], seed: int
) -> UInt8Array:
    """Generate a picture of `shape` for each condition, a function of (seed, position, condition)."""
    z = np.random.default_rng(seed).standard_normal((len(condition), generator.latent), np.float32)
    pixels = np.empty((len(condition), *shape), np.uint8)
    for batch in split_batches(len(condition), *shape[1:]):
        pixels[batch] = to_pixels(generator(z[batch], condition[batch]))
    return pixels


def read_pictures(reader: PictureReader, batches: Iterable[UInt8Array]) -> tuple[Float32Array, Float32Array]:
    """Return the probabilities and the embeddings of batches of pictures."""
    readings = [reader(to_floats(batch)) for batch in batches]
    probabilities = np.concatenate([reading.probabilities for reading in readings])
    return probabilities, np.concatenate([reading.embedding for reading in readings])
