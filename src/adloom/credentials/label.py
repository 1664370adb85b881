"""A visible label that a model made a picture, as Article 50 of the EU's AI Act asks for realistic ones."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from adloom.arrays import UInt8Array

LONG, SHORT = "Made with AI", "AI"  # the short one on pictures that are too narrow
FONT_SIZES = 8, 24  # pixels: the least that can be read, and the most
SHARE = 20  # of the height of a picture, one part is the height of the letters
MARGIN = 1  # pixels around the letters


def draw_label(pixels: UInt8Array) -> UInt8Array:
    """Return pictures (pictures, channels, height, width) with a label in black on white at the lower right."""
    height, width = pixels.shape[2:]
    font = ImageFont.load_default(min(max(height // SHARE, FONT_SIZES[0]), FONT_SIZES[1]))
    text = LONG if font.getlength(LONG) <= width // 2 else SHORT
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    box = Image.new("L", (right - left + 2 * MARGIN, bottom - top + 2 * MARGIN), 255)
    ImageDraw.Draw(box).text((MARGIN - left, MARGIN - top), text, fill=0, font=font)
    letters = np.asarray(box)[-height:, -width:]
    labelled = pixels.copy()
    corner = labelled[..., height - letters.shape[0] :, width - letters.shape[1] :]
    corner[:] = letters
    corner[:, 3:] = 255  # opaque
    return labelled
