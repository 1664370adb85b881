"""Pictures as people and attackers send them: odd but good ones, and broken ones with what is said of them."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

EDGE = 40
EXIF_ROTATED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def save(kind: str, mode: str = "RGB", colour: Any = 0, **options: Any) -> bytes:
    """Return the file of a plain picture."""
    stream = io.BytesIO()
    Image.new(mode, (EDGE, EDGE), colour).save(stream, kind, **options)
    return stream.getvalue()


def animate(kind: str) -> bytes:
    """Return the file of an animation of two frames."""
    return save(kind, save_all=True, append_images=[Image.new("RGB", (EDGE, EDGE), 200)])


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def insert_chunk(png: bytes, name: bytes, data: bytes) -> bytes:
    """Return a PNG with a chunk after its header."""
    return png[:33] + png_chunk(name, data) + png[33:]


def build_png(width: int, height: int, pixels: bytes) -> bytes:
    """Return a grey PNG with this compressed content."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def overflow_canvas() -> bytes:
    """Return a WebP with a picture of EDGE pixels in a canvas of 16."""
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + bytes([15, 0, 0]) * 2
    body = b"WEBP" + canvas + save("WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def declare_frame_twice() -> bytes:
    """Return a JPEG that declares 16,000 pixels of width behind its real size."""
    whole = save("JPEG")
    start = whole.index(b"\xff\xc0")
    frame = whole[start : start + 19]
    return whole[: start + 19] + frame[:7] + struct.pack(">H", 16_000) + frame[9:] + whole[start + 19 :]


def compress_zeros(megabytes: int) -> bytes:
    """Return zeros as zlib compresses them, megabyte by megabyte, each to the same bytes."""
    packer = zlib.compressobj()
    first = packer.compress(bytes(10**6)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = megabytes * 10**6 % 65_521 << 16 | 1  # Adler-32
    return first[:2] + first[2:] * megabytes + b"\3\0" + struct.pack(">I", checksum)


def archive() -> bytes:
    """Return a ZIP file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("hidden.html", "<script>alert(1)</script>")
    return stream.getvalue()


def sixteen_bits(level: int) -> bytes:
    """Return a grey PNG of 16 bits."""
    stream = io.BytesIO()
    Image.fromarray(np.full((EDGE, EDGE), level, np.uint16)).save(stream, "PNG")
    return stream.getvalue()


FORMATS = ("PNG", "JPEG", "WEBP")
PNG, JPEG, WEBP = (save(kind) for kind in FORMATS)

# whether the picture is light as a person sees it
GOOD: Mapping[str, tuple[bytes, bool]] = {
    **{f"dark {kind}": (save(kind), False) for kind in FORMATS},
    **{f"light {kind}": (save(kind, colour="white"), True) for kind in FORMATS},
    "grey": (save("PNG", "L", 255), True),
    "transparent black": (save("PNG", "RGBA", (0, 0, 0, 0)), True),
    "opaque black with alpha": (save("WEBP", "RGBA", (0, 0, 0, 255)), False),
    "palette": (save("PNG", "P", 0), False),
    "CMYK without ink": (save("JPEG", "CMYK", (0, 0, 0, 0)), True),
    "CMYK of black ink": (save("JPEG", "CMYK", (0, 0, 0, 255)), False),
    "16 bits, light": (sixteen_bits(0xFFFF), True),
    "16 bits, dark": (sixteen_bits(0x00FF), False),
    "one bit": (save("PNG", "1", 1), True),
    "turned": (save("JPEG", colour="white", exif=EXIF_ROTATED), True),
    "malformed EXIF": (save("JPEG", colour="white", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), True),
    "progressive": (save("JPEG", colour="white", progressive=True), True),
    "text that inflates a thousandfold": (insert_chunk(PNG, b"zTXt", b"a\0\0" + compress_zeros(100)), False),
    "profile that inflates a thousandfold": (insert_chunk(PNG, b"iCCP", b"a\0\0" + compress_zeros(100)), False),
    "zeros behind the end": (save("JPEG", colour="white") + bytes(512), True),
    "two JPEGs in one file": (save("JPEG", colour="white") + JPEG, True),
}

BROKEN: Mapping[str, tuple[bytes, str]] = {
    **{f"truncated {kind}": (save(kind)[:-15], "truncated or damaged") for kind in ("PNG", "JPEG", "WEBP")},
    **{f"head of {kind}": (save(kind)[:16], "") for kind in FORMATS},
    "empty": (b"", "neither PNG, JPEG nor WebP"),
    "text": (b"just text", "neither PNG, JPEG nor WebP"),
    "GIF": (save("GIF"), "neither PNG, JPEG nor WebP"),
    "TIFF": (save("TIFF"), "neither PNG, JPEG nor WebP"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "neither PNG, JPEG nor WebP"),
    "ZIP": (archive(), "neither PNG, JPEG nor WebP"),
    **{f"{kind} and ZIP": (save(kind) + archive(), "data after the end") for kind in FORMATS},
    **{f"{kind} and page": (save(kind) + b"<html>", "data after the end") for kind in FORMATS},
    "animated PNG": (animate("PNG"), "more than one frame"),
    "animated WebP": (animate("WEBP"), "more than one frame"),
    "bomb by size": (build_png(60_000, 60_000, compress_zeros(1)), "more pixels than"),
    "bomb by content": (build_png(8, 8, compress_zeros(100)), "more compressed data than"),
    "WebP larger than its canvas": (overflow_canvas(), "truncated or damaged"),
    "JPEG of two sizes": (declare_frame_twice(), ""),
    "content too short": (build_png(900, 900, zlib.compress(bytes(100))), "truncated or damaged"),
    "strip": (build_png(16_000, 2, zlib.compress(bytes(32_002))), "one side is more than"),
    "no pixels": (build_png(0, 0, b""), ""),
    "wrong checksum": (PNG[:40] + bytes(4) + PNG[44:], "truncated or damaged"),
}
DECLARED: Mapping[str, tuple[bytes, str]] = {
    "image/png": (JPEG, "declared as image/png, but it is a JPEG"),
    "image/jpeg": (WEBP, "declared as image/jpeg, but it is a WebP"),
    "image/webp": (PNG, "declared as image/webp, but it is a PNG"),
    "text/html": (PNG, "declared as text/html, but it is a PNG"),
    "": (PNG, "declared as , but it is a PNG"),
}
