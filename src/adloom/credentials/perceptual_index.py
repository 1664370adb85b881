"""
Find a picture again that was issued, after its metadata was stripped and it was saved, resized or cropped.

A fingerprint is the low frequencies of a picture's discrete cosine transform, each weighted by its frequency, so that
fine differences count as much as coarse ones. docs/how-to/credentials.md has the measured recovery and false matches.
"""

from collections.abc import Sequence
from itertools import chain, product
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from adloom.arrays import Float16Array, Float32Array, UInt8Array
from adloom.data.pictures import decode_within

MAX_PIXELS = 16_777_216  # of a picture, by its header
DECODED_EDGE = 64  # pixels of the longest edge of a decoded picture
EDGE = 32  # pixels of the thumbnail that is transformed
LUMA, CHROMA = 8, 3  # frequencies per axis, of the brightness and of each colour difference
WIDTH = LUMA**2 - 1 + 2 * CHROMA**2  # numbers of a fingerprint; the mean brightness is left out
BORDER = 0.1  # share of each edge that the fingerprint of the centre leaves out: as much as a crop may remove
COARSE, FINE = 9, 17  # offsets per axis at which a query is compared with the centres
REFINED = 64  # pictures that are compared at the fine offsets
MIN_CERTAINTY = 0.99  # of a match
BLOCK = 16_384  # fingerprints compared at once

# The share of other pictures within a distance, (distance / scale) ** exponent, of Fashion-MNIST's look-alikes.
FALSE_MATCHES = {"whole": (0.215, 4.05), "cropped": (0.095, 4.32)}
LEAST = {"whole": 20_000, "cropped": 1}  # pictures assumed in an index: small ones may be of one family
SAME = 0.0005  # distance of two fingerprints of one picture that was issued twice
MAX_DISTANCE = 0.02  # of a match that is certain because every other picture is much farther

_angles = np.pi / (2 * EDGE) * np.outer(np.arange(LUMA), 2 * np.arange(EDGE) + 1)
COSINES = np.cos(_angles).astype(np.float32)
_frequency = np.hypot(*np.indices((LUMA, LUMA))).astype(np.float32)
WEIGHTS = np.concatenate([_frequency.ravel()[1:], *[1 + _frequency[:CHROMA, :CHROMA].ravel()] * 2])

Box = tuple[float, float, float, float]  # left, upper, right and lower share of a picture


class Match(NamedTuple):
    """An issued picture that resembles a query."""

    id: str
    kind: Literal["whole", "cropped"]
    certainty: float  # that the query shows it, and not another picture that looks alike


class PerceptualIndex:
    """The fingerprints of issued pictures, in memory."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._fingerprints = np.empty((0, 2, WIDTH), np.float16)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], fingerprints: Float16Array) -> None:
        """Add pictures by their fingerprints (pictures, 2, WIDTH)."""
        end = len(self) + len(ids)
        if end > len(self._fingerprints):
            grown = np.empty((max(end, 2 * len(self)), 2, WIDTH), np.float16)
            grown[: len(self)] = self._fingerprints[: len(self)]
            self._fingerprints = grown
        self._fingerprints[len(self) : end] = fingerprints
        self._ids.extend(ids)

    def search(self, pixels: UInt8Array) -> Match | None:
        """Return the issued picture that the pixels (height, width, 3) show, or None below MIN_CERTAINTY."""
        if not self._ids:
            return None
        picture = Image.fromarray(pixels).convert("YCbCr")
        similarity = self._compare(_compute_fingerprints(picture, [(0, 0, 1, 1)]), 0)
        row = int(similarity.argmax())
        return self._match(row, similarity[row], "whole") or self._search_crops(picture)

    def _search_crops(self, picture: Image.Image) -> Match | None:
        """Compare the centres with a coarse grid of crops, and the best of them with a fine grid."""
        similarity = self._compare(_compute_fingerprints(picture, list_crops(COARSE)), 1)
        rows = np.argsort(-similarity, kind="stable")[:REFINED]
        centres = self._fingerprints[rows, 1].astype(np.float32)
        fine = (centres @ _compute_fingerprints(picture, list_crops(FINE)).T).max(1)
        best = int(fine.argmax())
        others = fine[centres @ centres[best] < 1 - SAME]
        return self._match(int(rows[best]), fine[best], "cropped", others.max() if len(others) else 1.0)

    def _compare(self, queries: Float32Array, column: int) -> Float32Array:
        """Return the similarity of each picture (0, whole) or its centre (1) to the nearest query."""
        blocks = np.array_split(self._fingerprints[: len(self), column], max(len(self) // BLOCK, 1))
        return np.concatenate([(block.astype(np.float32) @ queries.T).max(1) for block in blocks])

    def _match(
        self, row: int, similarity: float, kind: Literal["whole", "cropped"], runner_up: float = 1.0
    ) -> Match | None:
        """
        Return a match that is certain by its distance, or because the nearest other picture is much farther.

        As distances follow a power law, a picture that was not issued has a ratio of both below r with probability
        r ** exponent.
        """
        scale, exponent = FALSE_MATCHES[kind]
        distance = max(1 - float(similarity), 0.0)
        expected = max(len(self), LEAST[kind]) * (distance / scale) ** exponent  # false matches as near as this one
        certainty = float(np.exp(-expected))
        if distance <= MAX_DISTANCE and runner_up < 1:
            certainty = max(certainty, 1 - (distance / (1 - float(runner_up))) ** exponent)
        return Match(self._ids[row], kind, certainty) if certainty >= MIN_CERTAINTY else None


def decode_picture(picture: bytes) -> UInt8Array:
    """Return the pixels (height, width, 3) that fingerprints are computed from. Raises PictureError."""
    return decode_within(picture, DECODED_EDGE, MAX_PIXELS)


def compute_fingerprints(pixels: UInt8Array) -> Float16Array:
    """Return the fingerprints (2, WIDTH) of a picture (height, width, 3) and of its centre."""
    picture = Image.fromarray(pixels).convert("YCbCr")
    centre = (BORDER, BORDER, 1 - BORDER, 1 - BORDER)
    return _compute_fingerprints(picture, [(0, 0, 1, 1), centre]).astype(np.float16)


def _compute_fingerprints(picture: Image.Image, boxes: Sequence[Box]) -> Float32Array:
    """Return the fingerprints (boxes, WIDTH), of unit length, of parts of a picture in YCbCr."""
    size = np.array([picture.width, picture.height] * 2)
    thumbnails = [
        np.asarray(picture.resize((EDGE, EDGE), Image.Resampling.LANCZOS, box=tuple(size * box)), np.float32)
        for box in boxes
    ]
    planes = np.stack(thumbnails).transpose(3, 0, 1, 2) - 128
    spectrum = COSINES @ planes @ COSINES.T
    brightness = spectrum[0].reshape(len(boxes), -1)[:, 1:]
    blue, red = spectrum[1:, :, :CHROMA, :CHROMA].reshape(2, len(boxes), -1)
    weighted = np.concatenate([brightness, blue, red], 1) * WEIGHTS
    length = np.linalg.norm(weighted, axis=1, keepdims=True)
    fingerprints: Float32Array = weighted / np.maximum(length, 1e-6)
    return fingerprints


def list_crops(count: int) -> list[Box]:
    """Return where a picture's centre lies in it after a tenth was cut off either axis or both, at `count` offsets."""
    offsets, remaining = np.linspace(0, BORDER, count), 1 - BORDER
    cut = [((BORDER - offset) / remaining, min((1 - BORDER - offset) / remaining, 1.0)) for offset in offsets]
    uncut = [(BORDER, 1 - BORDER)]
    spans = chain(product(cut, cut), product(cut, uncut), product(uncut, cut))
    return [(left, upper, right, lower) for (left, right), (upper, lower) in spans]
