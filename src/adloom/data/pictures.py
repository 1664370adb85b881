"""Decode, check and normalise pictures. Pixels are (height, width, channels) of uint8, channels 1, 3 or 4 (RGBA)."""

import io
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from adloom.arrays import UInt8Array
from adloom.data.picture_files import (
    DAMAGED,
    MAX_EXIF,
    PictureError,
    read_orientation,
    reduce_picture,
    require_inflation,
)

SIZES = (28, 32, 64, 128)
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "F"})
TOO_LARGE = "image: more pixels than prepare.max_pixels"
MAX_MILLISECONDS = 250  # of decoding, estimated; see docs/how-to/data.md
TOO_SLOW = f"image: more than {MAX_MILLISECONDS} ms to decode; save it smaller, or as a plain JPEG"
PER_PIXEL = {"PNG": 8, "JPEG": 11, "GIF": 8, "WEBP": 14, "BMP": 8, "TIFF": 8}  # nanoseconds, as in picture_files
PER_PIXEL_DEEP, PER_PIXEL_DRAFT = 25, 4  # with transparency or 16 bits; a JPEG at a fraction of its size
DRAFT = 2  # a JPEG is decoded at 1/2, 1/4 or 1/8 of its size, at least this many times the target size
TRANSPOSE_BY_ORIENTATION = {  # makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
QUARTER_TURNS = frozenset(range(5, 9))  # orientations that exchange width and height
MAX_ASPECT = 20  # times one side may be as long as the other; a longer strip shows nothing once it is a square
TOO_LONG = f"image: one side is more than {MAX_ASPECT} times the other"


@dataclass(frozen=True)
class PictureHeader:
    """The size of the upright picture, and its channels, by its header."""

    width: int
    height: int
    channels: int  # 1 for grey, 3 for colour
    transparent: bool = False

    @property
    def size(self) -> int:
        """The largest of SIZES that is not above the longer edge, else the smallest."""
        return max((size for size in SIZES if size <= max(self.width, self.height)), default=SIZES[0])


@dataclass(frozen=True)
class PictureFormat:
    """The common format of a table's pictures: squares of `size` pixels."""

    size: int
    channels: int


def read_header(image: object, max_pixels: int) -> PictureHeader:
    """Read a picture's header. Raises PictureError when it is missing, unreadable or too large."""
    with _translate_errors():
        picture = _open_checked(image, max_pixels)
    channels = 1 if picture.mode in GREY_MODES else 3
    is_turned = picture.info["orientation"] in QUARTER_TURNS
    width, height = reversed(picture.size) if is_turned else picture.size
    return PictureHeader(width, height, channels, picture.has_transparency_data)


def choose_format(headers: Iterable[PictureHeader], size: int | None, *, transparency: bool = False) -> PictureFormat:
    """
    Return a table's format: `size` or the most common one, grey only if every picture is.

    With `transparency`, it has 4 channels if any picture is transparent.
    """
    sizes: Counter[int] = Counter()
    channels = 1
    for header in headers:
        sizes[header.size] += 1
        channels = max(channels, 4 if transparency and header.transparent else header.channels)
    common = min(sizes, key=lambda s: (-sizes[s], s), default=SIZES[0])
    return PictureFormat(size or common, channels)


def convert(image: object, target: PictureFormat, max_pixels: int) -> tuple[bytes, UInt8Array]:
    """
    Convert a picture: upright, padded with white to a square, on white where it is transparent.

    In 4 channels it stays transparent, and the padding is transparent.

    Return PNG bytes without metadata and pixels (size, size, channels). Raises PictureError when it is damaged or slow.
    """
    with _translate_errors():
        pixels, is_unchanged = _decode(image, target, max_pixels)
    return image if isinstance(image, bytes) and is_unchanged and _is_minimal_png(image) else encode_png(pixels), pixels


def decode(image: object, target: PictureFormat, max_pixels: int) -> UInt8Array:
    """Return the pixels (size, size, channels) of `convert`. Raises as `convert` does."""
    with _translate_errors():
        return _decode(image, target, max_pixels)[0]


def decode_within(image: object, edge: int, max_pixels: int) -> UInt8Array:
    """Return RGB pixels (height, width, 3), the longest edge resized to `edge`. Raises as `convert` does."""
    with _translate_errors():
        picture = _open_checked(image, max_pixels)
        picture.draft(None, (DRAFT * edge, DRAFT * edge))
        picture.load()
        upright = _flatten(picture, "RGB")
        scale = edge / max(upright.size)
        size = (max(1, round(upright.width * scale)), max(1, round(upright.height * scale)))
        return np.asarray(upright if upright.size == size else upright.resize(size, Image.Resampling.LANCZOS))


def describe_error(error: PictureError, max_pixels: int) -> str:
    """Return the reason of an error of `decode_within`, without the names of a table's column and parameter."""
    return str(error).removeprefix("image: ").replace("prepare.max_pixels", str(max_pixels))


def _decode(image: object, target: PictureFormat, max_pixels: int) -> tuple[UInt8Array, bool]:
    """Return pixels (size, size, channels), and whether they are the file's own."""
    picture = _open_checked(image, max_pixels)
    picture.draft(None, (DRAFT * target.size, DRAFT * target.size))
    picture.load()
    square = _flatten(picture, MODES[target.channels])
    if square.size != (target.size, target.size):
        white = (255, 255, 255, 0)[: target.channels]
        square = ImageOps.pad(square, (target.size, target.size), Image.Resampling.LANCZOS, color=white)
    pixels = np.asarray(square).reshape(target.size, target.size, target.channels)
    if target.channels < 4:
        return pixels, square is picture
    return np.where(pixels[:, :, 3:] == 0, np.array([255, 255, 255, 0], np.uint8), pixels), False


def lay_on_white(picture: Image.Image) -> Image.Image:
    """Return a picture with transparency on white."""
    colours = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)


def encode_png(pixels: UInt8Array) -> bytes:
    """Encode pixels (height, width, channels) as PNG without metadata."""
    stream = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(stream, "PNG")
    return stream.getvalue()


def identity_bytes(pixels: UInt8Array) -> bytes:
    """Return bytes that identify a picture, equal for grey stored as grey or colour."""
    plane = pixels[:, :, :1]
    return plane.tobytes() if pixels.shape[2] == 1 or (pixels == plane).all() else pixels.tobytes()


def _open_checked(image: object, max_pixels: int) -> Image.Image:
    """Open a picture without decoding it; its `info` holds the `orientation` alone."""
    if not isinstance(image, bytes):
        raise PictureError("image: not a picture" if isinstance(image, str) else "image: missing")
    reduced = reduce_picture(image)
    picture = Image.open(io.BytesIO(reduced.data), formats=[reduced.format])
    if picture.width * picture.height > max_pixels:
        raise PictureError(TOO_LARGE)
    if max(picture.size) > MAX_ASPECT * min(picture.size):
        raise PictureError(TOO_LONG)
    milliseconds = (reduced.nanoseconds + picture.width * picture.height * _nanoseconds_per_pixel(picture)) / 1e6
    if milliseconds > MAX_MILLISECONDS:
        raise PictureError(TOO_SLOW)
    if reduced.format == "PNG":
        require_inflation(reduced.data)
    exif = reduced.exif or picture.info.get("exif", b"")
    picture.info["orientation"] = read_orientation(exif) if len(exif) <= MAX_EXIF else 1
    return picture


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raise PictureError for whatever a decoder raises about one file. Pillow's limit is above every max_pixels."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes, which are checked, and metadata
            yield
    except (PictureError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise PictureError(TOO_LARGE) from None
    except UnidentifiedImageError:
        raise PictureError("image: not a picture") from None
    except Exception:  # noqa: BLE001 - decoders raise nearly everything
        raise PictureError(DAMAGED) from None


def _nanoseconds_per_pixel(picture: Image.Image) -> int:
    if picture.format == "JPEG" and min(picture.size) >= 2 * DRAFT * SIZES[-1]:
        return PER_PIXEL_DRAFT
    if picture.mode[0] in "IF" or picture.has_transparency_data:
        return PER_PIXEL_DEEP
    return PER_PIXEL[picture.format or ""]


def _is_minimal_png(image: bytes) -> bool:
    """Return whether a PNG has just a header, one block of pixels and an end."""
    end = 33 + 12 + int.from_bytes(image[33:37], "big")  # signature 8, header chunk 25, then 12 bytes around the pixels
    return image[:4] == b"\x89PNG" and image[37:41] == b"IDAT" and image[end + 4 :] == b"IEND\xaeB`\x82"


def _flatten(picture: Image.Image, mode: str) -> Image.Image:
    """Return the upright picture in mode L, RGB or RGBA; 16-bit grey keeps its upper 8 bits."""
    turn = TRANSPOSE_BY_ORIENTATION.get(picture.info["orientation"])
    upright = picture if turn is None else picture.transpose(turn)
    if upright.mode.startswith("I"):
        upright = Image.fromarray((np.asarray(upright).astype(np.uint32) >> 8).astype(np.uint8))
    if upright.has_transparency_data and mode != "RGBA":
        upright = lay_on_white(upright)
    return upright if upright.mode == mode else upright.convert(mode)
