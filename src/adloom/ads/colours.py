"""Colours, and their contrast as WCAG 2 defines it."""

import numpy as np

from adloom.arrays import Float64Array, UInt8Array

MIN_CONTRAST = 4.5  # WCAG 2.2, success criterion 1.4.3, level AA


def parse_colour(text: str) -> UInt8Array:
    """Return red, green and blue of a colour such as #1f3a5f (3,)."""
    return np.frombuffer(bytes.fromhex(text.removeprefix("#")), np.uint8)


def mix_colours(first: str, second: str, share: float) -> str:
    """Return the colour between two, with this share of the second."""
    mixed = parse_colour(first) * (1 - share) + parse_colour(second) * share
    return f"#{bytes(np.rint(mixed).astype(np.uint8)).hex()}"


def luminance(pixels: UInt8Array) -> Float64Array:
    """Return the relative luminance of pixels (…, 3), as WCAG 2 defines it."""
    channels = pixels / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    total: Float64Array = linear @ np.array([0.2126, 0.7152, 0.0722])
    return total


def measure_contrast(colour: str, pixels: UInt8Array) -> Float64Array:
    """Return the contrast ratio of a colour with pixels (…, 3), from 1 to 21."""
    first, second = luminance(parse_colour(colour)), luminance(pixels)
    ratio: Float64Array = (np.maximum(first, second) + 0.05) / (np.minimum(first, second) + 0.05)
    return ratio


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21."""
    return float(measure_contrast(first, parse_colour(second)))


def choose_text_colour(ground: str, *colours: str) -> str:
    """Return the colour with the highest contrast; the first of equals."""
    return max(colours, key=lambda colour: contrast(colour, ground))
