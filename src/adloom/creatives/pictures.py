"""
Pictures as PNGs, pixels and floats. NumPy and Pillow only, because serving needs it.

Pixels are (pictures, channels, height, width) of uint8, 1 channel (grey), 3 (RGB) or 4 (RGBA). Floats are the same
in [-1, 1].
"""

import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from adloom.arrays import Float32Array, UInt8Array
from adloom.data import pictures as data_pictures
from adloom.errors import DataError

FONT_SIZE, MAX_LABEL = 14, 24  # pixels, characters
PIXELS_PER_BATCH = 512 * 28**2  # a network holds several feature maps of every picture of a batch


def batch_size(height: int, width: int) -> int:
    """Return the number of pictures that a network reads or generates at once, so that memory is bounded."""
    return max(1, PIXELS_PER_BATCH // (height * width))


def split_batches(pictures: int, height: int, width: int) -> Iterator[slice]:
    """Yield the rows of each batch of `batch_size`."""
    size = batch_size(height, width)
    return (slice(start, start + size) for start in range(0, pictures, size))


def decode_pngs(pngs: Sequence[bytes], channels: int, height: int, width: int, *, first: int = 0) -> UInt8Array:
    """Decode PNGs of one size to pixels. Raises DataError naming a bad picture; `first` is the number of the first."""
    pixels = np.empty((len(pngs), channels, height, width), np.uint8)
    for number, png in enumerate(pngs):
        pixels[number] = _decode_png(png, first + number, channels, height, width)
    return pixels


def encode_pngs(pixels: UInt8Array) -> list[bytes]:
    """Encode pixels as PNGs without metadata; equal pixels give equal bytes."""
    return [data_pictures.encode_png(picture.transpose(1, 2, 0)) for picture in pixels]


def to_floats(pixels: UInt8Array) -> Float32Array:
    """Map 0 … 255 to -1 … 1."""
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_pixels(pictures: Float32Array) -> UInt8Array:
    """Map -1 … 1 to 0 … 255, rounded and clipped."""
    pixels: UInt8Array = np.rint((np.clip(pictures, -1, 1) + 1) * 127.5).astype(np.uint8)
    return pixels


def lay_on_white(pictures: Float32Array) -> Float32Array:
    """Return floats of 4 channels as RGB on white; others as they are."""
    if pictures.shape[1] < 4:
        return pictures
    colours, opacity = pictures[:, :3], (pictures[:, 3:] + 1) / 2
    opaque: Float32Array = (colours * opacity + (1 - opacity)).astype(np.float32)
    return opaque


def enlarge(pixels: UInt8Array, edge: int) -> UInt8Array:
    """Return pixels as RGB squares of `edge`, smoothly resized."""
    squares = [
        Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).convert("RGB").resize((edge, edge))
        for picture in pixels.transpose(0, 2, 3, 1)
    ]
    return np.stack([np.asarray(square).transpose(2, 0, 1) for square in squares])


def draw_sheet(pixels: UInt8Array, columns: int, labels: Sequence[str] = (), gap: int = 2, scale: int = 2) -> bytes:
    """
    Lay pictures out on white, `columns` a row, with a label before each row, and return the PNG.

    `scale` repeats each pixel, `gap` is in pixels before scaling.
    """
    number, channels, height, width = pixels.shape
    rows = -(-number // columns)
    filled = np.full((rows * columns, channels, height + gap, width + gap), 255, np.uint8)
    filled[:number, :, :height, :width] = pixels
    grid = filled.reshape(rows, columns, channels, height + gap, width + gap).transpose(2, 0, 3, 1, 4)
    flat = grid.reshape(channels, rows * (height + gap), columns * (width + gap))[:, :-gap, :-gap]
    sheet = flat.repeat(scale, 1).repeat(scale, 2)
    if labels:
        margin = _draw_labels(labels, sheet.shape[1], scale * (height + gap))
        sheet = np.concatenate([np.broadcast_to(margin, (channels, *margin.shape)), sheet], 2)
    return encode_pngs(sheet[None])[0]


def _draw_labels(labels: Sequence[str], height: int, step: int) -> UInt8Array:
    """Return black labels on white, (height, width), one in each `step` rows."""
    font = ImageFont.load_default(FONT_SIZE)
    texts = [text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1]}…" for text in labels]
    width = max(int(font.getlength(text)) for text in texts) + FONT_SIZE
    image = Image.new("L", (width, height), 255)
    for row, text in enumerate(texts):
        middle = row * step + step // 2
        ImageDraw.Draw(image).text((width - FONT_SIZE // 2, middle), text, fill=0, font=font, anchor="rm")
    return np.asarray(image, np.uint8)


def _decode_png(png: bytes, number: int, channels: int, height: int, width: int) -> UInt8Array:
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.size != (width, height):
                size = "x".join(map(str, image.size))
                raise DataError(f"picture {number}: {size} pixels, expected {width}x{height}; run `adloom prepare`")
            opaque = data_pictures.lay_on_white(image) if image.mode == "RGBA" and channels < 4 else image
            pixels: UInt8Array = np.asarray(opaque.convert(data_pictures.MODES[channels]), np.uint8)
    except (OSError, SyntaxError, ValueError) as error:  # SyntaxError is Pillow's word for a broken PNG
        raise DataError(f"picture {number}: not a PNG that can be read ({error}); run `adloom prepare`") from None
    planes: UInt8Array = pixels.reshape(height, width, channels).transpose(2, 0, 1)
    return planes
