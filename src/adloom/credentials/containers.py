"""Parts of PNG, JPEG and WebP files: the compressed pixels, and a place for XMP."""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from adloom.data.picture_files import DAMAGED, PictureError, reduce_picture
from adloom.data.single_picture import PNG, WEBP, find_media_type

PNG_HEADER_END = 33  # signature, then IHDR: 4 length + 4 name + 13 data + 4 checksum
XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
MAX_SEGMENT = 65_533  # bytes of a JPEG's segment
HAS_XMP, HAS_ALPHA = 0x04, 0x10  # flags of a WebP's VP8X chunk
WEBP_PIXELS = frozenset({b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})


def extract_pixel_data(picture: bytes) -> bytes:
    """Return the bytes that decode to pixels; metadata does not change them. Raises PictureError."""
    if find_media_type(picture) != WEBP:
        return reduce_picture(picture).data
    return b"".join(chunk.data for chunk in _iterate_chunks(picture) if chunk.name in WEBP_PIXELS)


def digest_pixels(picture: bytes) -> str:
    """Return the digest of a file's pixel data. Raises PictureError."""
    return hashlib.sha256(extract_pixel_data(picture)).hexdigest()


def insert_png_text(picture: bytes, keyword: str, text: str) -> bytes:
    """Return a PNG with an uncompressed iTXt chunk after its header (PNG specification, 11.3.3.4)."""
    body = b"iTXt" + keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return picture[:PNG_HEADER_END] + chunk + picture[PNG_HEADER_END:]


def insert_xmp(picture: bytes, xmp: str) -> bytes:
    """Return a picture with XMP. Raises PictureError for a damaged file and for XMP that a JPEG cannot hold."""
    media_type = find_media_type(picture)
    if media_type == PNG:
        return insert_png_text(picture, "XML:com.adobe.xmp", xmp)
    return _insert_in_webp(picture, xmp.encode()) if media_type == WEBP else _insert_in_jpeg(picture, xmp.encode())


def _insert_in_jpeg(picture: bytes, xmp: bytes) -> bytes:
    """Insert a segment after the start, or after JFIF's, which must be first."""
    if len(XMP_SEGMENT + xmp) > MAX_SEGMENT:
        raise PictureError(f"image: {len(xmp)} bytes of metadata, expected at most {MAX_SEGMENT}")
    at = 4 + int.from_bytes(picture[4:6], "big") if picture[2:4] == b"\xff\xe0" else 2
    segment = b"\xff\xe1" + struct.pack(">H", len(XMP_SEGMENT + xmp) + 2) + XMP_SEGMENT + xmp
    return picture[:at] + segment + picture[at:]


class _Chunk(NamedTuple):
    name: bytes
    data: bytes

    def pack(self) -> bytes:
        return self.name + struct.pack("<I", len(self.data)) + self.data + bytes(len(self.data) % 2)


def _iterate_chunks(picture: bytes) -> Iterator[_Chunk]:
    at = 12
    while at + 8 <= len(picture):
        size = int.from_bytes(picture[at + 4 : at + 8], "little")
        yield _Chunk(picture[at : at + 4], picture[at + 8 : at + 8 + size])
        at += 8 + size + size % 2


def _insert_in_webp(picture: bytes, xmp: bytes) -> bytes:
    """Append a chunk, and announce it in the VP8X chunk."""
    chunks = list(_iterate_chunks(picture))
    if not chunks:
        raise PictureError(DAMAGED)
    if chunks[0].name != b"VP8X":
        chunks.insert(0, _describe_simple_webp(chunks[0]))
    first = chunks[0].data
    chunks[0] = _Chunk(b"VP8X", bytes([first[0] | HAS_XMP]) + first[1:])
    body = b"".join(chunk.pack() for chunk in [*chunks, _Chunk(b"XMP ", xmp)])
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _describe_simple_webp(pixels: _Chunk) -> _Chunk:
    """Return the VP8X chunk of a file without one (WebP Container Specification, "Extended File Format")."""
    try:
        if pixels.name == b"VP8L":
            bits = struct.unpack_from("<I", pixels.data, 1)[0]
            width, height, flags = bits & 0x3FFF, bits >> 14 & 0x3FFF, HAS_ALPHA * (bits >> 28 & 1)
        else:
            width, height = (value - 1 & 0x3FFF for value in struct.unpack_from("<HH", pixels.data, 6))
            flags = 0
    except struct.error:
        raise PictureError(DAMAGED) from None
    return _Chunk(b"VP8X", bytes([flags, 0, 0, 0]) + width.to_bytes(3, "little") + height.to_bytes(3, "little"))
