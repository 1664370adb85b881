"""Small valid files that are slow to decode or open."""

import io
import re
import struct
import zlib
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xef])", re.DOTALL)


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return the bytes of a file."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def many_scans(scans: int, edge: int = 2048) -> bytes:
    """Return a progressive JPEG with many empty scans of 16 bytes."""
    whole = saved(Image.new("RGB", (edge, edge)), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * scans + whole[-2:]


def many_segments(count: int) -> bytes:
    """Return a JPEG of empty comments."""
    whole = saved(Image.new("RGB", (28, 28)), "JPEG")
    return whole[:2] + b"\xff\xfe\0\2" * count + whole[2:]


def wide_exif(entries: int = 5000) -> bytes:
    """Return a JPEG with thousands of EXIF entries, each as long as the whole file."""
    entry = [struct.pack("<HHII", 0x9000 + i, 7, 60_000, 0) for i in range(entries)]
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", entries) + b"".join(entry) + bytes(4)
    whole = saved(Image.new("RGB", (28, 28)), "JPEG")
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + whole[2:]


def many_chunks(kind: bytes, data: bytes, count: int) -> bytes:
    """Return a PNG with this many equal chunks before its pixels."""
    whole = saved(Image.new("L", (28, 28)))
    return whole[:33] + chunk(kind, data) * count + whole[33:]


def inflating(kind: bytes, count: int) -> bytes:
    """Return a PNG with compressed texts or profiles of 1 MiB each."""
    return many_chunks(kind, b"a\0\0" + zlib.compress(bytes(2**20), 9), count)


def empty_blocks(size: int) -> bytes:
    """Return a PNG with compressed pixels that begin with empty blocks."""
    bits = "".join(format(value, f"0{count}b")[::-1] for value, count in EMPTY_BLOCK)
    eight = "".join(reversed(bits * 8))  # eight blocks are whole bytes, whatever one is
    blocks = int(eight, 2).to_bytes(len(bits), "little") * (size // len(bits))
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    lines = bytes(29 * 28)
    data = b"\x78\x01" + blocks + raw.compress(lines) + raw.flush() + struct.pack(">I", zlib.adler32(lines))
    header = struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


# RFC 1951, 3.2.7: a block with dynamic codes, in which only the end of the block has one. (value, bits)
EMPTY_BLOCK = [
    (0, 1), (2, 2), (0, 5), (0, 5), (14, 4),  # not the last; 257 lengths, 1 distance, 18 lengths of the lengths' code
    (0, 3), (0, 3), (1, 3), (2, 3), *[(0, 3)] * 12, (0, 3), (2, 3),  # 18: one bit; 0 and 1: two bits
    (0, 1), (127, 7), (0, 1), (107, 7),  # 138 and 118 zeros
    (3, 2), (3, 2),  # the end and the one distance: one bit each
    (0, 1),  # the end
]  # fmt: skip


def long_comment(blocks: int) -> bytes:
    """Return a GIF with a comment in one-byte blocks."""
    whole = saved(Image.new("L", (28, 28)), "GIF")
    at = 13 + (3 << ((whole[10] & 7) + 1))  # after the palette
    return whole[:at] + b"!\xfe" + b"\1a" * blocks + b"\0" + whole[at:]


def run_lengths(edge: int = 3000) -> bytes:
    """Return a BMP in runs of one pixel."""
    data = b"\1\0" * edge * edge
    header = struct.pack("<IiiHHIIiiII", 40, edge, edge, 1, 8, 1, len(data), 0, 0, 256, 0)
    offset = 14 + len(header) + 1024
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + bytes(1024) + data


def many_strips(strips: int = 200_000) -> bytes:
    """Return a TIFF with one pixel per strip."""
    tags = {256: (3, 1, 1), 257: (4, 1, strips), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, strips, 8),
            277: (3, 1, 1), 278: (3, 1, 1), 279: (4, strips, 8)}  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, *value) for tag, value in tags.items())
    data = struct.pack("<I", 8) * strips
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + directory + bytes(4)


def many_tags(count: int = 60_000) -> bytes:
    """Return a TIFF with tens of thousands of tags, each as long as the file."""
    whole = saved(Image.new("L", (28, 28), 7), "TIFF")
    at = struct.unpack_from("<I", whole, 4)[0]
    own = struct.unpack_from("<H", whole, at)[0]
    more = b"".join(struct.pack("<HHII", 1000 + i, 7, 100_000, 8) for i in range(count - own))
    directory = struct.pack("<H", count) + whole[at + 2 : at + 2 + 12 * own] + more + bytes(4)
    return whole[:4] + struct.pack("<I", len(whole)) + whole[8:] + directory


def transparent(edge: int = 4000) -> bytes:
    """Return a large, ordinary PNG."""
    return saved(Image.fromarray(np.zeros((edge, edge, 4), np.uint8)), compress_level=9)


REFUSED: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "scans": (lambda: many_scans(5000), "ms to decode"),
    "segments": (lambda: many_segments(100_000), "10,000 parts"),
    "chunks": (lambda: many_chunks(b"tEXt", b"a\0b", 100_000), "10,000 parts"),
    "empty pixels": (lambda: many_chunks(b"IDAT", b"", 100_000), "10,000 parts"),
    "empty blocks": (lambda: empty_blocks(3 * 2**20), "holds no pixels"),
    "comment": (lambda: long_comment(100_000), "10,000 parts"),
    "run lengths": (run_lengths, "run lengths"),
    "strips": (many_strips, "10,000 parts"),
    "transparent": (transparent, "ms to decode"),
    "JPEG in TIFF": (lambda: saved(Image.new("RGB", (64, 64)), "TIFF", compression="jpeg"), "compression 7"),
}
HARMLESS: Mapping[str, Callable[[], bytes]] = {  # only the pixels are read
    "profiles": lambda: inflating(b"iCCP", 500),
    "texts": lambda: inflating(b"zTXt", 500),
    "exif": wide_exif,
    "tags": many_tags,
}
