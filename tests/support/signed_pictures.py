"""Small pictures, a key and an origin, to sign."""

import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image

from adloom.credentials.keys import create_local_key
from adloom.credentials.origin import Origin

KEY, OTHER_KEY = create_local_key(datetime.now(UTC)), create_local_key(datetime.now(UTC))
ORIGIN = Origin("gan", 3, "a" * 64, "b" * 64, seed=7, number=1, facts={"category": "<Bag & é>"})
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG"},
    "webp": {"format": "WEBP"},
    "lossless webp": {"format": "WEBP", "lossless": True},
}


def draw_pixels(edge: int = 28, seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (edge, edge, channels), np.uint8)


def encode_picture(pixels: np.ndarray, kind: str = "png") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, **FORMATS[kind])
    return stream.getvalue()


def decode_picture(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)))


def flip_byte(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def draw_blobs(seed: int, edge: int = 64) -> np.ndarray:
    """Return a smooth picture (edge, edge, 3) that no other seed gives."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:edge, :edge] / edge
    light = np.zeros((edge, edge, 3))
    for y, x, width, *colour in random.uniform((0, 0, 0.04, 0, 0, 0), (1, 1, 0.2, 255, 255, 255), (12, 6)):
        spot = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / width**2)[..., None]
        light += spot * (colour - light)
    return light.astype(np.uint8)
