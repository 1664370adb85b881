"""
Pictures as an ad shows them.

A generated picture of a few dozen pixels is redrawn in the brand's colours, as a screen print of flat tones or as a
halftone of dots, so that it is sharp at every size. A larger picture is cropped to its focus.
"""

import base64
import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from adloom.ads.colours import parse_colour
from adloom.ads.placements import Box
from adloom.arrays import Float64Array, UInt8Array

Treatment = Literal["photo", "print", "dots"]
SMALL = 160  # pixels of the longest edge, below which a picture is redrawn
OUTLINE = 0.16  # difference from the picture's ground, as a share of the greatest, where its subject begins
PRINT_THRESHOLDS = (0.06, 0.36, 0.72)  # tones at which the next colour of a screen print begins
EDGE = 0.04  # tones over which two colours of a screen print blend
DOTS, DOT_SPACING = 52, 4.4  # most dots in a row; their least distance in pixels
SMALLEST_DOT, LARGEST_DOT = 0.22, 0.62  # radius, of the distance
BLUR = 0.3  # of a pixel of the picture, when it is enlarged
PAD = 0.09  # around a redrawn subject, of its longer edge
ENERGY_EDGE = 96  # pixels of the picture in which the focus is searched
CENTRE = 0.6  # weight of a point at the edge; in the centre it is 1


@dataclass(frozen=True)
class Shades:
    """The colours of a redrawn picture: its ground, and three tones on it."""

    ground: str
    tones: tuple[str, str, str]


def choose_treatments(pixels: UInt8Array) -> tuple[Treatment, ...]:
    """Return how a picture (height, width, 3) can be shown."""
    return ("print", "dots") if max(pixels.shape[:2]) < SMALL and pixels.std() > 0 else ("photo",)


def draw_artwork(pixels: UInt8Array, treatment: Treatment, box: Box, shades: Shades) -> str:
    """Return SVG of a picture (height, width, 3): a photo fills the box, a redrawn subject stands in its middle."""
    if treatment == "photo":
        return _image(crop_to_focus(pixels, box), box)
    tones = extract_tones(pixels)
    place = _contain(box, *tones.shape)
    return _draw_dots(tones, place, shades) if treatment == "dots" else _image(_print(tones, place, shades), place)


def _contain(box: Box, height: int, width: int) -> Box:
    """Return the largest box of these proportions in the middle of another."""
    scale = min(box.width / width, box.height / height)
    x, y = box.x + (box.width - scale * width) / 2, box.y + (box.height - scale * height) / 2
    return Box(x, y, scale * width, scale * height)


def extract_tones(pixels: UInt8Array) -> Float64Array:
    """
    Return tones from 0 to 1 of a picture's subject (height, width): 0 on its ground, else the pixel's rank.

    Ranks use all tones, however flat the picture is. The subject has the same pad at all edges.
    """
    colours = pixels.astype(np.float64)
    edge = np.concatenate([colours[0], colours[-1], colours[:, 0], colours[:, -1]])
    distance = np.abs(colours - np.median(edge, axis=0)).mean(axis=2)
    subject = distance > OUTLINE * np.quantile(distance, 0.99)
    tones = np.zeros(distance.shape)
    tones[subject] = np.searchsorted(np.sort(distance[subject]), distance[subject], "right") / max(subject.sum(), 1)
    rows, columns = (np.flatnonzero(subject.any(axis=axis)) for axis in (1, 0))
    cropped = tones[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else tones
    return np.pad(cropped, round(PAD * max(cropped.shape)) + 1)


def crop_to_focus(pixels: UInt8Array, box: Box) -> UInt8Array:
    """Return the part of a picture with the box's proportions that has the most detail, resized to it."""
    height, width = pixels.shape[:2]
    scale = max(box.width / width, box.height / height)
    crop_width, crop_height = min(box.width / scale, width), min(box.height / scale, height)
    energy = _measure_energy(pixels)
    left = _find_window(energy.sum(axis=0), crop_width / width) * width
    top = _find_window(energy.sum(axis=1), crop_height / height) * height
    target = max(1, round(box.width)), max(1, round(box.height))
    part = left, top, min(left + crop_width, width), min(top + crop_height, height)
    return np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.LANCZOS, box=part))


def _measure_energy(pixels: UInt8Array) -> Float64Array:
    """Return how much detail a small copy of the picture has at each point, more in the centre."""
    small = Image.fromarray(pixels).convert("L")
    small = small.resize((ENERGY_EDGE, ENERGY_EDGE), Image.Resampling.BOX)
    energy = np.asarray(small.filter(ImageFilter.FIND_EDGES), np.float64)[1:-1, 1:-1]  # its rim is no edge
    centre = np.hanning(len(energy) + 2)[1:-1] * (1 - CENTRE) + CENTRE
    return (energy + 1) * centre[:, None] * centre


def _find_window(energy: Float64Array, share: float) -> float:
    """Return where the window of this share begins that has the most energy, in shares of the whole."""
    length = max(1, round(share * len(energy)))
    total = np.concatenate([[0], energy.cumsum()])
    sums = total[length:] - total[:-length]
    return min(float(sums.argmax()) / len(energy), 1 - share)


def _print(tones: Float64Array, box: Box, shades: Shades) -> UInt8Array:
    """Return a screen print: flat colours with smooth outlines."""
    enlarged = _enlarge(tones, max(1, round(box.width)), max(1, round(box.height)))
    colours = np.stack([parse_colour(colour) for colour in (shades.ground, *shades.tones)]).astype(np.float64)
    result = np.broadcast_to(colours[0], (*enlarged.shape, 3))
    for threshold, colour in zip(PRINT_THRESHOLDS, colours[1:], strict=True):
        share = np.clip((enlarged - threshold) / EDGE + 0.5, 0, 1)[:, :, None]
        result = result * (1 - share) + colour * share
    printed: UInt8Array = np.rint(result).astype(np.uint8)
    return printed


def _draw_dots(tones: Float64Array, box: Box, shades: Shades) -> str:
    """Return a halftone: dots in rows, every other row shifted by half a dot."""
    edge = min(box.width, box.height)
    across = min(DOTS, max(8, int(edge / DOT_SPACING)))
    step = edge / across
    columns, rows = max(1, round(box.width / step)), max(1, round(box.height / step))
    values = _enlarge(tones, 2 * columns, rows)
    paths: dict[str, list[str]] = {colour: [] for colour in shades.tones[1:]}
    for row in range(rows):
        shift = 0.25 if row % 2 else -0.25
        for column in range(columns):
            tone = float(values[row, 2 * column + row % 2])
            if tone > PRINT_THRESHOLDS[0]:
                x, y = box.x + (column + 0.5 + shift) * step, box.y + (row + 0.5) * step
                radius = step * (SMALLEST_DOT + (LARGEST_DOT - SMALLEST_DOT) * tone)
                paths[shades.tones[2 if tone > PRINT_THRESHOLDS[1] else 1]].append(_circle(x, y, radius))
    return "".join(f'<path fill="{colour}" d="{"".join(circles)}"/>' for colour, circles in paths.items() if circles)


def _circle(x: float, y: float, radius: float) -> str:
    arc = f"a{radius:.2f} {radius:.2f} 0 1 0"
    return f"M{x - radius:.2f} {y:.2f}{arc} {2 * radius:.2f} 0{arc}-{2 * radius:.2f} 0"


def _enlarge(tones: Float64Array, width: int, height: int) -> Float64Array:
    """Return tones in another size, without the steps of their pixels."""
    image = Image.fromarray(np.rint(tones * 255).astype(np.uint8))
    pixel = max(width / tones.shape[1], height / tones.shape[0])
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.filter(ImageFilter.GaussianBlur(BLUR * pixel)), np.float64) / 255


def _image(pixels: UInt8Array, box: Box) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=6)
    data = base64.b64encode(stream.getvalue()).decode()
    return (
        f'<image x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
    )
