"""Require a file to be one picture of one format, and nothing else. Files of strangers are checked before decoding."""

import re
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from adloom.data.picture_files import DAMAGED, END, PictureError, iterate_chunks, iterate_segments

PNG, JPEG, WEBP = "image/png", "image/jpeg", "image/webp"
ANIMATED = "image: more than one frame; send one picture"
TRAILING = "image: data after the end of the picture; save it again"
WEBP_HEAD = 12
WEBP_ANIMATION = 0x02  # flag of the chunk VP8X


class _Container(NamedTuple):
    name: str
    signature: re.Pattern[bytes]
    find_rest: Callable[[bytes], bytes]  # returns what follows the picture; raises PictureError for several frames


def find_media_type(image: bytes) -> str:
    """Return the media type that a file's signature names. Raises PictureError for another format."""
    media_type = next((name for name, container in CONTAINERS.items() if container.signature.match(image)), None)
    if media_type is None:
        raise PictureError("image: neither PNG, JPEG nor WebP")
    return media_type


def require_single(image: bytes, declared: str | None = None) -> None:
    """
    Raise PictureError unless a file is a single PNG, JPEG or WebP of the declared media type.

    A file that is valid in two formats at once hides one behind the other's end, so nothing may follow the picture but
    further JPEGs, as cameras write them.
    """
    actual = find_media_type(image)
    if declared not in (None, actual):
        raise PictureError(f"image: declared as {str(declared)[:40]}, but it is a {CONTAINERS[actual].name}")
    try:
        rest = CONTAINERS[actual].find_rest(image)
    except (IndexError, ValueError, struct.error):
        raise PictureError(DAMAGED) from None
    if rest.strip(b"\0\r\n "):
        raise PictureError(TRAILING)


def _find_rest_of_png(image: bytes) -> bytes:
    chunks = list(iterate_chunks(image))
    if any(kind == b"acTL" for kind, _ in chunks):
        raise PictureError(ANIMATED)
    if chunks[-1][0] != b"IEND":
        raise PictureError(DAMAGED)
    return image[8 + sum(len(chunk) for _, chunk in chunks) :]


def _find_rest_of_jpeg(image: bytes) -> bytes:
    rest = next(segment for marker, segment in iterate_segments(image) if marker == END)
    return b"" if rest.startswith(b"\xff\xd8\xff") else rest


def _find_rest_of_webp(image: bytes) -> bytes:
    if image[WEBP_HEAD : WEBP_HEAD + 4] == b"VP8X" and image[WEBP_HEAD + 8] & WEBP_ANIMATION:
        raise PictureError(ANIMATED)
    return image[8 + int.from_bytes(image[4:8], "little") :]


CONTAINERS: Mapping[str, _Container] = {
    PNG: _Container("PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), _find_rest_of_png),
    JPEG: _Container("JPEG", re.compile(rb"\xff\xd8\xff"), _find_rest_of_jpeg),
    WEBP: _Container("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL), _find_rest_of_webp),
}
