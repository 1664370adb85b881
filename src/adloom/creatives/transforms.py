"""Changes of pictures, to test readers for robustness and the search for near-duplicates."""

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from adloom.arrays import UInt8Array
from adloom.data.pictures import MODES

Transform = Callable[[UInt8Array, np.random.Generator], UInt8Array]  # (pictures, channels, height, width)
JPEG_QUALITY = 50
NOISE = 0.1 * 255  # standard deviation
KEPT = 0.9  # share of each edge that a crop keeps


def flip(pixels: UInt8Array, _: np.random.Generator) -> UInt8Array:
    """Mirror pictures left to right."""
    return pixels[..., ::-1].copy()


def crop(pixels: UInt8Array, random: np.random.Generator) -> UInt8Array:
    """Cut a window out of each picture at a random place, and resize it to the whole."""
    height, width = pixels.shape[2:]
    corners = random.random((len(pixels), 2)) * (1 - KEPT)
    cropped = np.empty_like(pixels)
    for number, (top, left) in enumerate(corners):
        box = (left * width, top * height, (left + KEPT) * width, (top + KEPT) * height)
        image = _to_image(pixels[number]).resize((width, height), Image.Resampling.BILINEAR, box)
        cropped[number] = _to_pixels(image, pixels.shape[1])
    return cropped


def compress(pixels: UInt8Array, _: np.random.Generator) -> UInt8Array:
    """Write and read pictures as JPEG."""
    compressed = np.empty_like(pixels)
    for number, picture in enumerate(pixels):
        stream = io.BytesIO()
        _to_image(picture).save(stream, "JPEG", quality=JPEG_QUALITY)
        with Image.open(stream, formats=["JPEG"]) as image:
            compressed[number] = _to_pixels(image, len(picture))
    return compressed


def add_noise(pixels: UInt8Array, random: np.random.Generator) -> UInt8Array:
    """Add normal noise."""
    noisy: UInt8Array = np.rint((pixels + random.normal(0, NOISE, pixels.shape)).clip(0, 255)).astype(np.uint8)
    return noisy


def darken(pixels: UInt8Array, _: np.random.Generator) -> UInt8Array:
    """Halve the brightness."""
    return pixels // 2


def blur(pixels: UInt8Array, _: np.random.Generator) -> UInt8Array:
    """Average each pixel with its eight neighbours."""
    padded = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge").astype(np.uint16)
    height, width = pixels.shape[2:]
    sums = sum(padded[:, :, row : row + height, column : column + width] for row in range(3) for column in range(3))
    return (np.asarray(sums) // 9).astype(np.uint8)


DUPLICATES: Mapping[str, Transform] = {
    "mirrored": flip,
    "90 % crop": crop,
    "JPEG 50": compress,
    "10 % noise": add_noise,
}
DISTURBANCES: Mapping[str, Transform] = {**DUPLICATES, "half as bright": darken, "blurred": blur}


def _to_image(picture: UInt8Array) -> Image.Image:
    return Image.fromarray(picture.transpose(1, 2, 0).squeeze())


def _to_pixels(image: Image.Image, channels: int) -> UInt8Array:
    values: UInt8Array = np.asarray(image.convert(MODES[channels]), np.uint8)
    planes: UInt8Array = values.reshape(*values.shape[:2], channels).transpose(2, 0, 1)
    return planes
