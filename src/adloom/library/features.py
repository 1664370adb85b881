"""Features of contents for the library: the size and colours of a picture, the length of a line."""

from typing import Any

import numpy as np

from adloom.arrays import UInt8Array
from adloom.data.picture_files import PictureError
from adloom.data.pictures import decode_within, describe_error, read_header
from adloom.data.single_picture import find_media_type
from adloom.errors import DataError
from adloom.library.records import Creative, Kind, content_id

MAX_PIXELS = 16_777_216
EDGE = 64  # pixels of the longest edge of the copy that the colours are taken from
DECIMALS = 4  # of an embedding


def describe_picture(content: bytes, kind: Kind = "picture", **fields: Any) -> Creative:
    """Return the record of a picture or an ad, with its size and colours. Raises DataError if it is unusable."""
    try:
        media_type, header = find_media_type(content), read_header(content, MAX_PIXELS)
        colours = _mean_colours(decode_within(content, EDGE, MAX_PIXELS))
    except PictureError as error:
        raise DataError(describe_error(error, MAX_PIXELS)) from None
    features = {"colours": colours, **fields.pop("features", {})}
    size = {"width": header.width, "height": header.height}
    return Creative(id=content_id(content), kind=kind, media_type=media_type, features=features, **{**size, **fields})


def describe_line(text: str, **fields: Any) -> Creative:
    """Return the record of a line of copy, with its length."""
    features = {"characters": len(text), "words": len(text.split()), **fields.pop("features", {})}
    return Creative(
        id=content_id(text.encode()), kind="line", media_type="text/plain", text=text, features=features, **fields
    )


def round_embedding(embedding: Any) -> list[float]:
    """Return an embedding as it is stored."""
    return [round(float(value), DECIMALS) for value in embedding]


def _mean_colours(pixels: UInt8Array) -> list[str]:
    """Return the mean colours of the whole picture and of its quarters, top left first."""
    middle, centre = (max(edge // 2, 1) for edge in pixels.shape[:2])
    halves = (slice(None, middle), slice(-middle, None)), (slice(None, centre), slice(-centre, None))
    parts = [pixels, *(pixels[rows, columns] for rows in halves[0] for columns in halves[1])]
    return ["#{:02x}{:02x}{:02x}".format(*np.rint(part.mean((0, 1))).astype(int)) for part in parts]
