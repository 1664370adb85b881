"""Pictures: what is known before decoding, the decoded pixels, and the PNG bytes every picture becomes."""

import io
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]  # (height, width, channels), channels 1 or 3

SIZES = (28, 32, 64, 128)
GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "F"})
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # of those Pillow knows, what is decoded in this process alone
DAMAGED = "image: truncated or damaged"
TOO_LARGE = "image: more pixels than prepare.max_pixels"
BROKEN = (OSError, SyntaxError, ValueError, EOFError)  # what Pillow raises for damaged files, by format


class PictureError(Exception):
    """A picture cannot be used; the message is the reason."""


@dataclass(frozen=True)
class Header:
    """What a picture's header says."""

    width: int
    height: int
    channels: int  # 1 for grey, 3 for colour

    @property
    def size(self) -> int:
        """The largest of SIZES that is not above the longer edge, else the smallest."""
        return max((size for size in SIZES if size <= max(self.width, self.height)), default=SIZES[0])


@dataclass(frozen=True)
class Form:
    """What all pictures of a table are brought to: squares of `size` pixels."""

    size: int
    channels: int


def header(image: object, max_pixels: int) -> Header:
    """Read a picture's header, not its pixels. Raises PictureError when it is missing, unreadable or too large."""
    picture = _open(image, max_pixels)
    return Header(picture.width, picture.height, 1 if picture.mode in GREY_MODES else 3)


def form(headers: Iterable[Header], size: int | None) -> Form:
    """Return the form of a table: the size asked for or the most common one, grey only when every picture is."""
    sizes: Counter[int] = Counter()
    channels = 1
    for known in headers:
        sizes[known.size] += 1
        channels = max(channels, known.channels)
    common = min(sizes, key=lambda s: (-sizes[s], s), default=SIZES[0])
    return Form(size or common, channels)


def bring(image: object, wanted: Form, max_pixels: int) -> tuple[bytes, Pixels]:
    """
    Bring a picture to a form: upright, over white where it is transparent, padded with white to a square.

    Returns PNG bytes without metadata and pixels (size, size, channels). Raises PictureError when that cannot be done.
    """
    picture = _open(image, max_pixels)
    try:
        picture.load()
    except BROKEN:
        raise PictureError(DAMAGED) from None
    flat = _flat(picture, "L" if wanted.channels == 1 else "RGB")
    if flat.size != (wanted.size, wanted.size):
        white = 255 if wanted.channels == 1 else (255, 255, 255)
        flat = ImageOps.pad(flat, (wanted.size, wanted.size), Image.Resampling.LANCZOS, color=white)
    pixels = np.asarray(flat).reshape(wanted.size, wanted.size, wanted.channels)
    return image if isinstance(image, bytes) and flat is picture and _bare(image) else encode(pixels), pixels


def encode(pixels: Pixels) -> bytes:
    """Return PNG bytes, without metadata, of pixels (height, width, channels)."""
    stream = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(stream, "PNG")
    return stream.getvalue()


def content(pixels: Pixels) -> bytes:
    """Return the bytes that tell pictures apart: equal for a grey picture and the same picture stored in colour."""
    plane = pixels[:, :, :1]
    return plane.tobytes() if pixels.shape[2] == 1 or (pixels == plane).all() else pixels.tobytes()


def _open(image: object, max_pixels: int) -> Image.Image:
    """Open a picture without decoding it; Pillow's own limit is above every max_pixels that params allow."""
    if not isinstance(image, bytes) or not image:
        raise PictureError("image: not a picture" if isinstance(image, str) else "image: missing")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(image), formats=FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise PictureError(TOO_LARGE) from None
    except UnidentifiedImageError:
        raise PictureError("image: not a picture") from None
    except BROKEN:
        raise PictureError(DAMAGED) from None
    if picture.width * picture.height > max_pixels:
        raise PictureError(TOO_LARGE)
    return picture


def _bare(image: bytes) -> bool:
    """Return whether a picture is a PNG of one header, one block of pixels and an end: nothing else is in it."""
    end = 33 + 12 + int.from_bytes(image[33:37], "big")  # signature 8, header chunk 25, then 12 bytes around the pixels
    return image[:4] == b"\x89PNG" and image[37:41] == b"IDAT" and image[end + 4 :] == b"IEND\xaeB`\x82"


def _flat(picture: Image.Image, mode: str) -> Image.Image:
    """Return the picture in mode L or RGB; 16-bit grey keeps its upper 8 bits."""
    upright = ImageOps.exif_transpose(picture) if "exif" in picture.info else picture
    if upright.mode.startswith("I"):
        upright = Image.fromarray((np.asarray(upright).astype(np.uint32) >> 8).astype(np.uint8))
    if upright.has_transparency_data:
        colours = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    return upright if upright.mode == mode else upright.convert(mode)
