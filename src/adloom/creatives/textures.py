"""Pictures drawn from a seed, to train and measure style transfer: textures as styles, and scenes of simple shapes."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw

from adloom.arrays import Float64Array, UInt8Array

COLOURS = 6
HUES = (0.0, 0.06, 0.12, 0.33, 0.5, 0.58)  # distances from the first hue: relatives and complements


def draw_textures(count: int, edge: int, seed: int) -> UInt8Array:
    """Return textures (count, 3, edge, edge): brush strokes, stained glass, waves and dots in turn."""
    kinds = (_draw_strokes, _draw_glass, _draw_waves, _draw_dots)
    drawn = [kinds[i % len(kinds)](np.random.default_rng([seed, i]), edge) for i in range(count)]
    return np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in drawn])


def draw_scenes(count: int, edge: int, seed: int) -> UInt8Array:
    """Return scenes (count, 3, edge, edge) of shapes that cover each other, large before small."""
    drawn = [_draw_scene(np.random.default_rng([seed, i]), edge) for i in range(count)]
    return np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in drawn])


def _draw_strokes(rng: np.random.Generator, edge: int) -> Image.Image:
    """Draw strokes along a flow."""
    colours, across, down = _draw_palette(rng), _draw_noise(rng, edge, 1.6), _draw_noise(rng, edge, 1.6)
    picture = Image.new("RGB", (edge, edge), _to_rgb(colours[2]))
    pen = ImageDraw.Draw(picture)
    length, width = edge / rng.uniform(40, 80), max(2, int(edge / rng.uniform(40, 100)))
    for start in rng.random((900, 2)) * edge:
        at = start
        brightness = across[int(at[1]), int(at[0])] * 0.8 + rng.normal() * 0.5
        colour = colours[int(np.clip((brightness + 1.5) / 3 * COLOURS, 0, COLOURS - 1))]
        points = [tuple(at)]
        for _ in range(6):
            row, column = (int(np.clip(x, 0, edge - 1)) for x in at[::-1])
            flow = np.array([across[row, column], down[row, column]])
            at = at + flow / (np.hypot(*flow) + 1e-9) * length
            points.append(tuple(at))
        pen.line(points, _to_rgb(colour + rng.normal(0, 0.06)), width, joint="curve")
    return picture


def _draw_glass(rng: np.random.Generator, edge: int) -> Image.Image:
    """Draw panes with dark joints."""
    count = int(rng.integers(30, 120))
    points, (row, column) = rng.random((count, 2)) * edge, np.mgrid[:edge, :edge][..., None]
    distance = np.hypot(row - points[:, 0], column - points[:, 1])
    nearest = np.partition(distance, 1, axis=2)[..., :2]
    panes = _draw_palette(rng)[rng.integers(1, COLOURS, count)][distance.argmin(2)]
    panes = panes * (0.8 + 0.2 * np.clip(_draw_noise(rng, edge, 1.2), -1, 1)[..., None])
    panes[nearest[..., 1] - nearest[..., 0] < edge / 60] = 0.05
    return _to_image(panes)


def _draw_waves(rng: np.random.Generator, edge: int) -> Image.Image:
    """Draw bands of colour along the levels of a smooth landscape."""
    landscape = _draw_noise(rng, edge, rng.uniform(1.6, 2.2)) * rng.uniform(1.5, 4)
    band = np.floor(landscape).astype(int)
    shade = 0.75 + 0.25 * (landscape - band)
    return _to_image(_draw_palette(rng)[band % COLOURS] * shade[..., None])


def _draw_dots(rng: np.random.Generator, edge: int) -> Image.Image:
    """Draw a halftone of dots."""
    colours, cell = _draw_palette(rng), edge / rng.uniform(10, 24)
    tilt = rng.uniform(0, np.pi / 2)
    row, column = np.mgrid[:edge, :edge]
    u, v = row * np.cos(tilt) + column * np.sin(tilt), column * np.cos(tilt) - row * np.sin(tilt)
    offset = np.hypot((u / cell) % 1 - 0.5, (v / cell) % 1 - 0.5)
    size = 0.32 + 0.15 * np.clip(_draw_noise(rng, edge, 1.6), -1.5, 1.5)
    ink = colours[((u // cell + v // cell) % 3).astype(int) + 2]
    return _to_image(np.where((offset < size)[..., None], ink, colours[0]))


def _draw_scene(rng: np.random.Generator, edge: int) -> Image.Image:
    colours = _draw_palette(rng)
    picture = Image.new("RGB", (edge, edge), _to_rgb(colours[rng.integers(COLOURS)]))
    pen = ImageDraw.Draw(picture)
    for size in np.sort(edge * 0.5 * rng.random(60) ** 2 + 2)[::-1]:
        (x, y), colour = rng.random(2) * edge, _to_rgb(colours[rng.integers(COLOURS)] + rng.normal(0, 0.12))
        if rng.random() < 0.5:
            pen.ellipse((x - size, y - size * 0.7, x + size, y + size * 0.7), fill=colour)
        else:
            pen.regular_polygon((x, y, size), int(rng.integers(3, 7)), int(rng.integers(360)), fill=colour)
    light = 1 + 0.2 * np.clip(_draw_noise(rng, edge, 1.3), -2, 2)
    return _to_image(np.asarray(picture) / 255 * light[..., None])


def _draw_noise(rng: np.random.Generator, edge: int, slope: float) -> Float64Array:
    """Return noise of mean 0 and spread 1; a higher slope is smoother."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(edge), np.fft.fftfreq(edge)))
    frequency[0, 0] = 1
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((edge, edge))) / frequency**slope).real
    return np.asarray((noise - noise.mean()) / noise.std())


def _draw_palette(rng: np.random.Generator) -> Float64Array:
    """Return COLOURS related colours in [0, 1], dark to bright."""
    hues = (rng.random() + rng.choice(HUES, COLOURS)) % 1
    values = np.linspace(0.15, 1, COLOURS)
    return np.array(
        [colorsys.hsv_to_rgb(hue, rng.uniform(0.2, 1), value) for hue, value in zip(hues, values, strict=True)]
    )


def _to_rgb(colour: Float64Array) -> tuple[int, ...]:
    return tuple(int(part) for part in np.clip(colour, 0, 1) * 255)


def _to_image(colours: Float64Array) -> Image.Image:
    return Image.fromarray((np.clip(colours, 0, 1) * 255).astype(np.uint8))
