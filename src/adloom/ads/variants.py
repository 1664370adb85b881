"""Choose among variants of an ad: no near-duplicates, a high expected reward, and variety."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from adloom.ads.artwork import Treatment, choose_treatments
from adloom.ads.composition import Design, SchemeName
from adloom.arrays import Float64Array, UInt8Array
from adloom.copywriting.near_duplicates import find_near_duplicates

NEAR_DUPLICATE = 0.99  # cosine of two embeddings, or of two small copies of pictures
THUMBNAIL = 16  # pixels of such a copy's edge
DESIGNS = 9  # that differ in template or colours
VARIETY = 0.3  # weight of variety; that of the reward is 1 less
SCHEMES: tuple[SchemeName, ...] = ("dark", "light", "bold")


def describe_pixels(pictures: Sequence[UInt8Array]) -> Float64Array:
    """Return unit vectors of pictures by their small grey copies (pictures, THUMBNAIL ** 2)."""
    size = THUMBNAIL, THUMBNAIL
    small = [
        np.asarray(Image.fromarray(p).convert("L").resize(size, Image.Resampling.BOX)).ravel() + 1.0 for p in pictures
    ]
    vectors = np.stack(small)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)  # type: ignore[no-any-return]


def find_distinct(vectors: Float64Array, most: float = NEAR_DUPLICATE) -> list[int]:
    """Return the rows of unit vectors that are less similar than `most` to all rows kept before."""
    similarity = vectors @ vectors.T
    kept: list[int] = []
    for row in range(len(vectors)):
        if not kept or similarity[row, kept].max() < most:
            kept.append(row)
    return kept


def drop_similar_lines(lines: Sequence[str]) -> list[str]:
    """Return the lines that nearly repeat none before."""
    kept: list[str] = []
    for line in lines:
        if not find_near_duplicates([line], kept)[0]:
            kept.append(line)
    return kept


def choose_varied(rewards: Float64Array, similarity: Float64Array, n: int) -> list[int]:
    """
    Return n rows by maximal marginal relevance (Carbonell & Goldstein 1998), the best first.

    Each next row has the highest sum of its reward, scaled to [0, 1], and its distance from the nearest chosen one.
    """
    low, high = float(rewards.min()), float(rewards.max())
    scaled = (rewards - low) / (high - low) if high > low else np.zeros(len(rewards))
    chosen: list[int] = []
    for _ in range(min(n, len(rewards))):
        nearest = similarity[:, chosen].max(axis=1) if chosen else np.zeros(len(rewards))
        value = (1 - VARIETY) * scaled - VARIETY * nearest
        value[chosen] = -np.inf
        chosen.append(int(value.argmax()))
    return chosen


def choose_design(number: int, picture: UInt8Array) -> Design:
    """Return the design of a variant; the first 9 differ in template or colours, the next 9 also in treatment."""
    treatments: tuple[Treatment, ...] = choose_treatments(picture)
    treatment = treatments[(number % DESIGNS + number // DESIGNS) % len(treatments)]
    return Design(number, SCHEMES[(number + number // 3) % 3], treatment)
