"""Smooth pictures of two categories, generators of known faults, and judges of these pictures."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adloom.arrays import Float32Array, Int64Array, UInt8Array
from adloom.creatives import pictures

CATEGORIES = ["day", "night"]
SIZES = {"train": 300, "validation": 200, "test": 200}


def paint(category: Int64Array, random: np.random.Generator) -> UInt8Array:
    """Paint new smooth pictures: day is light above, night is light below."""
    coarse = random.normal(0, 25, (len(category), 1, 7, 7)).repeat(4, 2).repeat(4, 3)
    ramp = np.linspace(190, 60, 28)
    ramps = np.where(category[:, None] == 0, ramp, ramp[::-1])[:, None, :, None]
    return np.clip(ramps + coarse, 0, 255).astype(np.uint8)


def rows() -> pd.DataFrame:
    """Return a table of creatives."""
    category = np.arange(sum(SIZES.values())) % 2
    splits = np.repeat(list(SIZES), list(SIZES.values()))
    pngs = pictures.encode_pngs(paint(category, np.random.default_rng(0)))
    names = np.array(CATEGORIES)[category]
    return pd.DataFrame({"category": names, "split": splits, "image": pngs, "width": 28, "height": 28, "channels": 1})


def decode(split: str) -> UInt8Array:
    """Return the pictures of a split; day and night take turns."""
    table = rows()
    return pictures.decode_pngs(table.loc[table["split"] == split, "image"].tolist(), 1, 28, 28)


@dataclass(frozen=True)
class Fake:
    """A generator that returns noise, a grey square, one training picture per category, or new pictures."""

    kind: str
    latent: int = 3

    def __call__(self, z: Float32Array, condition: Float32Array) -> Float32Array:
        category, random = condition.argmax(1), np.random.default_rng(abs(int(1e6 * float(z[0, 0]))))
        if self.kind == "noise":
            pixels = random.integers(0, 256, (len(z), 1, 28, 28)).astype(np.uint8)
        elif self.kind == "constant":
            pixels = np.full((len(z), 1, 28, 28), 128, np.uint8)
        elif self.kind == "memorised":
            pixels = decode("train")[category]
        else:
            pixels = paint(category, random)
        return pictures.to_floats(pixels)


@dataclass(frozen=True)
class Reading:
    probabilities: Float32Array
    embedding: Float32Array


def read(picture: Float32Array) -> Reading:
    """Take a picture for day as far as it is lighter above; embed its blocks."""
    difference = picture[:, 0, :14].mean((1, 2)) - picture[:, 0, 14:].mean((1, 2))
    day = 1 / (1 + np.exp(-8 * difference))[:, None]
    blocks = picture.reshape(len(picture), 4, 7, 4, 7).mean((2, 4)).reshape(len(picture), -1) + 1e-3
    return Reading(np.concatenate([day, 1 - day], 1), blocks / np.linalg.norm(blocks, axis=1, keepdims=True))


def embed(batches: Iterable[UInt8Array]) -> Float32Array:
    """Return blocks and roughness, in which noise and grey squares are far from every picture."""
    parts = [pictures.to_floats(batch) for batch in batches]
    blocks = [part.reshape(len(part), 4, 7, 4, 7).mean((2, 4)).reshape(len(part), -1) for part in parts]
    rough = [np.abs(np.diff(part, axis=3)).mean((1, 2, 3))[:, None] for part in parts]
    return np.concatenate([np.concatenate(blocks), 30 * np.concatenate(rough)], 1)
