"""
Reduce picture files to the first picture's pixels, and estimate the time to decode them.

A small file can be slow: a JPEG of ten thousand scans, a PNG of a million chunks, a text that inflates a thousandfold.
The estimate counts parts, so every machine rejects the same pictures before it decodes anything.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

DAMAGED = "image: truncated or damaged"
TOO_MANY_PARTS = "image: more than 10,000 parts; save it again as a plain PNG or JPEG"
MAX_PARTS = 10_000  # chunks, segments, blocks or strips of one file
MAX_EXIF = 65_536  # bytes; longer metadata is not read

# Nanoseconds, the slowest measured on one core with files built to be slow; docs/how-to/data.md has the table.
PER_BYTE = {"PNG": 4, "JPEG": 10, "GIF": 20, "WEBP": 15, "BMP": 2, "TIFF": 10}
PER_BYTE_PROGRESSIVE = 25
PER_BLOCK, PER_BLOCK_REFINED, PER_SCAN = 17, 45, 50_000  # of 8 x 8 coefficients; a refining scan reads each again


OTHER_FORMATS = {b"avi": "AVIF", b"hei": "HEIC", b"hev": "HEIC", b"mif1": "HEIC"}  # by brand


class PictureError(Exception):
    """The picture cannot be used; the message is the reason."""


@dataclass(frozen=True)
class ReducedPicture:
    """The part of a picture's file that decoding needs."""

    format: str  # as Pillow names it
    data: bytes
    nanoseconds: float  # to read the compressed data; pixels come on top
    exif: bytes = b""


def reduce_picture(image: bytes) -> ReducedPicture:
    """Reduce a file to its first picture. Raises PictureError for an unusable one."""
    for signature, reducer in FORMATS.items():
        if re.match(signature, image, re.DOTALL):
            try:
                return reducer(image)
            except (struct.error, IndexError, ValueError):
                raise PictureError(DAMAGED) from None
    brands = image[8:40] if image[4:8] == b"ftyp" else b""  # of an ISO media file
    if kind := next((kind for brand, kind in OTHER_FORMATS.items() if brand in brands), None):
        raise PictureError(f"image: {kind}; save it as JPEG or PNG")
    raise PictureError("image: not a picture" if image else "image: empty file")


def read_orientation(exif: bytes) -> int:
    """Return the orientation in EXIF metadata, 1 (upright) if there is none."""
    tiff = exif.removeprefix(b"Exif\0\0")
    try:
        order = {b"II": "<", b"MM": ">"}[tiff[:2]]
        start = struct.unpack_from(f"{order}I", tiff, 4)[0]
        for number in range(struct.unpack_from(f"{order}H", tiff, start)[0]):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * number)
            if (tag, kind) == (0x0112, 3):
                return int(value)
    except (KeyError, struct.error):
        pass
    return 1


PNG_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
EMPTY_IDAT = b"\0\0\0\0IDAT"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type of a header
INFLATION_WINDOW = 16_384
MIN_INFLATION = 0.85  # bytes from one byte of a compressor's output; empty blocks inflate to none and take longest


def _reduce_png(image: bytes) -> ReducedPicture:
    """Keep header, palette, transparency and pixels."""
    parts, exif, compressed = [image[:8]], b"", 0
    for kind, chunk in iterate_chunks(image):
        if kind == b"IDAT":
            compressed += len(chunk) - 12
        if kind in PNG_CHUNKS and chunk[:8] != EMPTY_IDAT:
            parts.append(chunk)
        if kind == b"eXIf" and len(chunk) <= MAX_EXIF:
            exif = chunk[8:-4]
    return ReducedPicture("PNG", b"".join(parts), compressed * PER_BYTE["PNG"], exif)


def iterate_chunks(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the bytes of each chunk of a PNG."""
    at = 8
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", image, at)
        yield kind, image[at : at + 12 + length]
        at += 12 + length
        if kind == b"IEND" or at >= len(image):
            return
    raise PictureError(TOO_MANY_PARTS)


def require_inflation(png: bytes) -> None:
    """
    Raise PictureError if the compressed pixels inflate to more than the header declares, or windows of them to nothing.

    The size in the header must have been checked, because it limits the work.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", png, 16)
    # an interlaced picture has twice as many rows, each rounded to whole bytes
    row = (width * depth * CHANNELS.get(colour, 4) + 7) // 8 + 1 + 3 * bool(interlaced)
    left = height * row + INFLATION_WINDOW
    compressed = b"".join(chunk[8:-4] for kind, chunk in iterate_chunks(png) if kind == b"IDAT")
    inflate = zlib.decompressobj()
    for at in range(0, len(compressed), INFLATION_WINDOW):
        try:
            inflated = len(inflate.decompress(compressed[at : at + INFLATION_WINDOW], left + 1))
        except zlib.error:
            return  # the decoder says whether all pixels came before the error
        left -= inflated
        if left < 0:
            raise PictureError("image: more compressed data than its size needs; save it again")
        if inflate.eof:
            return
        if inflated < MIN_INFLATION * INFLATION_WINDOW and at + INFLATION_WINDOW < len(compressed):
            raise PictureError("image: compressed data that holds no pixels; save it again")


MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
QUANTISATION, HUFFMAN, RESTART, SCAN, END, JFIF, EXIF, ADOBE = 0xDB, 0xC4, 0xDD, 0xDA, 0xD9, 0xE0, 0xE1, 0xEE
FRAMES = {0xC0: False, 0xC1: False, 0xC2: True}  # start of a frame: whether it is progressive
OTHER_FRAMES = frozenset(range(0xC3, 0xD0)) - {HUFFMAN, 0xC8}  # lossless, hierarchical or arithmetic
JPEG_SEGMENTS = frozenset({QUANTISATION, HUFFMAN, RESTART, SCAN, JFIF, ADOBE, *FRAMES})


def _reduce_jpeg(image: bytes) -> ReducedPicture:
    """Keep tables, frame and scans, and count the blocks that the scans visit."""
    parts, exif, nanoseconds, progressive = [b"\xff\xd8"], b"", 0.0, False
    blocks: Mapping[int, int] = {}
    for marker, segment in iterate_segments(image):
        if marker in OTHER_FRAMES:
            raise PictureError("image: JPEG in a rare coding; save it again as baseline or progressive")
        if marker in FRAMES:
            blocks, progressive = _count_blocks(segment), FRAMES[marker]
        if marker == SCAN:
            nanoseconds += _estimate_scan(segment, blocks)
        if marker == EXIF and segment[4:10] == b"Exif\0\0":
            exif = exif or segment[4:]
        if marker in JPEG_SEGMENTS:
            parts.append(segment)
    nanoseconds += sum(map(len, parts)) * (PER_BYTE_PROGRESSIVE if progressive else PER_BYTE["JPEG"])
    return ReducedPicture("JPEG", b"".join([*parts, b"\xff\xd9"]), nanoseconds, exif)


def iterate_segments(image: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and bytes of each segment, a scan with its data, the end with what follows it."""
    at = 2
    for _ in range(MAX_PARTS):
        match = MARKER.search(image, at)
        if match is None:
            raise PictureError(DAMAGED)
        marker = image[match.end() - 1]
        if marker == END:
            yield marker, image[match.end() :]
            return
        at = match.end() + int(struct.unpack_from(">H", image, match.end())[0])
        if marker == SCAN:
            following = MARKER.search(image, at)
            at = following.start() if following else len(image)
        yield marker, image[match.end() - 2 : at]
    raise PictureError(TOO_MANY_PARTS)


def _count_blocks(frame: bytes) -> dict[int, int]:
    """Return the number of blocks by component id."""
    height, width, count = struct.unpack_from(">HHB", frame, 5)
    components = [(frame[10 + 3 * i], frame[11 + 3 * i] >> 4, frame[11 + 3 * i] & 15) for i in range(count)]
    across, down = max(h for _, h, _ in components), max(v for _, _, v in components)
    if not across * down:
        raise PictureError(DAMAGED)
    units = -(-width // (8 * across)) * -(-height // (8 * down))
    return {component: units * h * v for component, h, v in components}


def _estimate_scan(segment: bytes, blocks: Mapping[int, int]) -> float:
    """Return the nanoseconds of one scan, which visits every block of its components."""
    count = segment[4]
    start, _, bits = segment[5 + 2 * count : 8 + 2 * count]
    refines = start > 0 and bits >> 4 > 0
    visits = sum(blocks.get(segment[5 + 2 * i], 0) for i in range(count))
    return PER_SCAN + visits * (PER_BLOCK_REFINED if refines else PER_BLOCK)


def _reduce_gif(image: bytes) -> ReducedPicture:
    """Keep screen, palette and the first frame with its transparency."""
    flags = image[10]
    palette_bytes = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    at = 13 + palette_bytes
    parts, control = [image[:at]], b""
    for _ in range(MAX_PARTS):
        if image[at] != ord("!"):
            break
        end = _skip_sub_blocks(image, at + 2)
        if image[at + 1] == 0xF9:  # graphic control: the transparent colour
            control = image[at:end]
        at = end
    else:
        raise PictureError(TOO_MANY_PARTS)
    return _keep_whole("GIF", b"".join([*parts, control, image[at:]]))


def _skip_sub_blocks(image: bytes, at: int) -> int:
    """Return the end of a chain of a GIF's sub-blocks."""
    for _ in range(MAX_PARTS):
        if image[at] == 0:
            return at + 1
        at += 1 + image[at]
    raise PictureError(TOO_MANY_PARTS)


def _reduce_webp(image: bytes) -> ReducedPicture:
    return _keep_whole("WEBP", image)  # libwebp walks its chunks, and only the first frame is decoded


def _reduce_bmp(image: bytes) -> ReducedPicture:
    """Reject run lengths, because Pillow decodes them in Python, byte by byte."""
    if struct.unpack_from("<I", image, 14)[0] >= 40 and struct.unpack_from("<I", image, 30)[0] in (1, 2):
        raise PictureError("image: BMP with run lengths; save it again without compression")
    return _keep_whole("BMP", image)


# Sizes, depth, compression, strips, tiles, palette and what the samples mean; no metadata, no further pages.
TIFF_TAGS = frozenset({256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325})
TIFF_TAGS |= {338, 339}
TIFF_COMPRESSIONS = frozenset({1, 5, 8, 32773, 32946})  # none, LZW, deflate twice, PackBits
COMPRESSION, PALETTE = 259, 320


def _reduce_tiff(image: bytes) -> ReducedPicture:
    """Write a new directory of the tags that make the first page's pixels."""
    order = "<" if image[:2] == b"II" else ">"
    start = struct.unpack_from(f"{order}I", image, 4)[0]
    parts: dict[int, bytes] = {}
    for number in range(struct.unpack_from(f"{order}H", image, start)[0]):
        at = start + 2 + 12 * number
        tag, _, count, value = struct.unpack_from(f"{order}HHIH", image, at)
        if tag in TIFF_TAGS and count > (MAX_PARTS if tag != PALETTE else 3 << 16):
            raise PictureError(TOO_MANY_PARTS)
        if tag == COMPRESSION and value not in TIFF_COMPRESSIONS:
            raise PictureError(f"image: TIFF of compression {value}; save it again as PNG or JPEG")
        if tag in TIFF_TAGS:
            parts[tag] = image[at : at + 12]
    directory = struct.pack(f"{order}H", len(parts)) + b"".join(parts[tag] for tag in sorted(parts)) + bytes(4)
    whole = image + bytes(len(image) % 2)
    return _keep_whole("TIFF", image[:4] + struct.pack(f"{order}I", len(whole)) + whole[8:] + directory)


def _keep_whole(kind: str, data: bytes) -> ReducedPicture:
    return ReducedPicture(kind, data, len(data) * PER_BYTE[kind])


FORMATS: Mapping[bytes, Callable[[bytes], ReducedPicture]] = {
    rb"\x89PNG\r\n\x1a\n": _reduce_png,
    rb"\xff\xd8\xff": _reduce_jpeg,
    rb"GIF8[79]a": _reduce_gif,
    rb"RIFF....WEBP": _reduce_webp,
    rb"BM": _reduce_bmp,
    rb"II\*\0|MM\0\*": _reduce_tiff,
}
