"""Creatives of the world: real pictures with real lines, and how their features make users click."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from adloom.arrays import AnyArray, Int64Array, UInt8Array

MAX_LINE = 60  # characters
SHARES = {"taste": 0.55, "brightness": 0.15, "length": 0.1, "own": 0.2}  # of the variance of log click rates


@dataclass(frozen=True)
class Creatives:
    """Pictures with a category and a line each."""

    ids: tuple[str, ...]
    categories: tuple[str, ...]
    pixels: UInt8Array  # (creatives, height, width)
    lines: tuple[str, ...]

    def select(self, rows: Int64Array) -> Self:
        """Return some creatives."""
        ids, categories, lines = (tuple(values[i] for i in rows) for values in (self.ids, self.categories, self.lines))
        return type(self)(ids, categories, self.pixels[rows], lines)


def combine(
    ids: Sequence[str], categories: Sequence[str], pixels: UInt8Array, lines: Sequence[str], seed: int
) -> Creatives:
    """Give each picture a line of at most MAX_LINE characters, at random."""
    short = [line for line in lines if len(line) <= MAX_LINE]
    rng = np.random.default_rng([seed, 2])
    return Creatives(
        tuple(ids), tuple(categories), pixels, tuple(short[i] for i in rng.integers(len(short), size=len(ids)))
    )


def choose_running(creatives: Creatives, count: int, seed: int) -> Int64Array:
    """Return the indices of creatives that run, from as many categories as possible."""
    order = np.random.default_rng([seed, 3]).permutation(len(creatives.ids))
    seen: dict[str, int] = {}
    turn = np.empty(len(order), np.int64)  # how many of its category come before a picture
    for place, index in enumerate(order.tolist()):
        category = creatives.categories[index]
        turn[place] = seen[category] = seen.get(category, -1) + 1
    return np.asarray(np.sort(order[np.argsort(turn, kind="stable")[:count]]))


def draw_taste(categories: Sequence[str], segments: int, seed: int) -> dict[str, AnyArray]:
    """Draw how much each segment likes each category (segments,), with variance 1."""
    rng = np.random.default_rng([seed, 4])
    return {name: rng.normal(size=segments) for name in sorted(set(categories))}


def draw_appeal(
    creatives: Creatives, taste: Mapping[str, AnyArray], placements: int, spread: float, seed: int
) -> AnyArray:
    """
    Draw log click rates (segments, placements, creatives) from what creatives show and say.

    Each placement favours or disfavours bright pictures and long lines.
    """
    rng = np.random.default_rng([seed, 5])
    brightness = _standardise(creatives.pixels.reshape(len(creatives.ids), -1).mean(1))
    length = _standardise(np.array([len(line) for line in creatives.lines], float))
    signs = rng.choice([-1.0, 1.0], size=(2, placements, 1))
    parts = {
        "taste": np.stack([taste[name] for name in creatives.categories], 1)[:, None],
        "brightness": signs[0] * brightness,
        "length": signs[1] * length,
        "own": rng.normal(size=len(creatives.ids)),
    }
    return np.asarray(spread * sum(SHARES[name] ** 0.5 * part for name, part in parts.items()))


def _standardise(values: AnyArray) -> AnyArray:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-9))
