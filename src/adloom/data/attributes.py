"""Attributes of creatives: their columns, and those derived from the pixels."""

from collections.abc import Callable, Mapping

import numpy as np

from adloom.arrays import AnyArray, UInt8Array

PREFIX = "attr_"  # of a column
CONTRAST = 32  # grey levels by which the subject differs from the background, in any channel
BRIGHTNESS = (85, 170)  # mean grey levels between dark, medium and light
ASPECT = 1.25  # how many times one side of the subject is as long as the other where it is not square
SYMMETRY = 0.85  # share of the subject that its mirror image repeats


def measure_brightness(pixels: UInt8Array) -> str:
    """Return dark, medium or light: the subject's mean grey level."""
    subject = _find_subject(pixels)
    level = pixels[subject if subject.any() else ~subject].mean()
    return ("dark", "medium", "light")[int(np.searchsorted(BRIGHTNESS, level, "right"))]


def measure_aspect(pixels: UInt8Array) -> str:
    """Return wide, square or tall: the box around the subject."""
    box = _crop_subject(_find_subject(pixels))
    height, width = box.shape
    return "wide" if width > ASPECT * height else "tall" if height > ASPECT * width else "square"


def measure_symmetry(pixels: UInt8Array) -> str:
    """Return symmetric or asymmetric: the subject against its mirror image, left to right."""
    box = _crop_subject(_find_subject(pixels))
    same = (box & box[:, ::-1]).sum() >= SYMMETRY * box.sum()
    return "symmetric" if same else "asymmetric"


DERIVED: Mapping[str, Callable[[UInt8Array], str]] = {
    "brightness": measure_brightness,
    "aspect": measure_aspect,
    "symmetry": measure_symmetry,
}


def _find_subject(pixels: UInt8Array) -> AnyArray:
    """Return where pixels (height, width, channels) differ from the background, the median of the border."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    distance = np.abs(pixels.astype(np.int16) - np.median(border, axis=0).astype(np.int16))
    subject: AnyArray = (distance > CONTRAST).any(2)
    return subject


def _crop_subject(subject: AnyArray) -> AnyArray:
    """Return the smallest box (height, width) around the subject, or everything when there is none."""
    rows, columns = np.flatnonzero(subject.any(1)), np.flatnonzero(subject.any(0))
    return subject[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else subject
