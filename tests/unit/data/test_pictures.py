"""Pictures: headers, broken files, and one kind of PNG for every picture."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from adloom.data import pictures
from adloom.data.picture_files import PictureError
from adloom.data.pictures import PictureFormat, PictureHeader

MAX_PIXELS = 1_000_000
GREY, COLOUR = PictureFormat(28, 1), PictureFormat(32, 3)


def saved(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is this large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bring_bytes(image: bytes) -> np.ndarray:
    return pictures.convert(image, COLOUR, MAX_PIXELS)[1]


def bring(picture: Image.Image, form: PictureFormat = COLOUR) -> np.ndarray:
    return pictures.convert(saved(picture), form, MAX_PIXELS)[1]


@pytest.mark.parametrize(
    ("edges", "size"), [((28, 28), 28), ((10, 5), 28), ((31, 30), 28), ((64, 20), 64), ((600, 400), 128)]
)
def test_a_picture_belongs_to_the_largest_size_not_above_its_longer_edge(edges: tuple[int, int], size: int) -> None:
    assert PictureHeader(*edges, channels=1).size == size


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("I;16", 1), ("P", 3), ("RGBA", 3)])
def test_channels_are_known_from_the_header(mode: str, channels: int) -> None:
    header = pictures.read_header(saved(Image.new(mode, (30, 40))), MAX_PIXELS)
    assert header == PictureHeader(30, 40, channels, mode in ("LA", "RGBA"))


def test_the_form_of_a_table_is_its_most_common_size_and_grey_only_when_all_are() -> None:
    small, large, colour = PictureHeader(28, 28, 1), PictureHeader(64, 64, 1), PictureHeader(64, 64, 3)
    assert pictures.choose_format([small, small, large], None) == PictureFormat(28, 1)
    assert pictures.choose_format([small, large, colour], None) == PictureFormat(64, 3)
    assert pictures.choose_format([small, large], None) == PictureFormat(28, 1)  # a tie goes to the smaller
    assert pictures.choose_format([small], 128) == PictureFormat(128, 1)
    assert pictures.choose_format([], None) == PictureFormat(28, 1)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (None, "image: missing"),
        (pd.NA, "image: missing"),
        ("hats/1.png", "image: not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image: not a picture"),  # never run Ghostscript
        (b"GIF? no", "image: not a picture"),
        (b"", "image: empty file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image: HEIC; save it as JPEG or PNG"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "image: AVIF; save it as JPEG or PNG"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", "image: not a picture"),
        (bomb(1001, 1000), "image: more pixels than prepare.max_pixels"),
        (bomb(10_000, 10_000), "image: more pixels than prepare.max_pixels"),  # Pillow warns
        (bomb(60_000, 60_000), "image: more pixels than prepare.max_pixels"),  # Pillow refuses
        (bomb(1000, 1000), "image: truncated or damaged"),  # as large as allowed, and without its pixels
        (bomb(1000, 49), "image: one side is more than 20 times the other"),
        (bomb(49, 1000), "image: one side is more than 20 times the other"),
    ],
)
def test_an_unusable_picture_has_a_reason(image: object, reason: str) -> None:
    with pytest.raises(PictureError) as caught:
        pictures.convert(image, GREY, MAX_PIXELS)
    assert str(caught.value) == reason


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_truncated_picture_is_damaged_at_every_byte(kind: str) -> None:
    noise = np.random.default_rng(7).integers(0, 255, (40, 40, 3), np.uint8)
    whole = saved(Image.fromarray(noise), kind)
    pictures.convert(whole, COLOUR, MAX_PIXELS)
    for end in (len(whole) // 2, 60, 20, 3):
        with pytest.raises(PictureError, match=r"truncated or damaged|not a picture"):
            pictures.convert(whole[:end], COLOUR, MAX_PIXELS)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_a_reason(image: bytes) -> None:
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM"):
        with pytest.raises(PictureError):
            pictures.convert(start + image, GREY, MAX_PIXELS)


@pytest.fixture(scope="module")
def with_metadata() -> dict[str, bytes]:
    """A picture of every format, with EXIF where it has some."""
    exif, noise = Image.Exif(), np.random.default_rng(7).integers(0, 255, (40, 60, 3), np.uint8)
    exif[0x0112], exif[0x010E] = 6, "where it was taken"
    picture = Image.fromarray(noise)
    files = {kind: saved(picture, kind, exif=exif) for kind in ("PNG", "JPEG", "WEBP", "TIFF")}
    palette, progressive = saved(picture.convert("P")), saved(picture, "JPEG", progressive=True)
    return {**files, "palette": palette, "progressive": progressive, "GIF": saved(picture, "GIF")}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "palette", "progressive", "GIF"])
@given(changes=st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=4)), min_size=1, max_size=9))
def test_broken_metadata_and_headers_break_one_picture(
    with_metadata: dict[str, bytes], kind: str, changes: list[tuple[int, bytes]]
) -> None:
    broken = bytearray(with_metadata[kind])
    for at, content in changes:
        broken[at : at + len(content)] = content
    for use in (lambda image: pictures.read_header(image, MAX_PIXELS), bring_bytes):
        with contextlib.suppress(PictureError):
            use(bytes(broken))


def test_a_jpeg_without_components_is_damaged() -> None:
    whole = saved(Image.new("RGB", (28, 28)), "JPEG")
    at = whole.index(b"\xff\xc0") + 9
    with pytest.raises(PictureError, match="truncated or damaged"):
        bring_bytes(whole[:at] + b"\0" + whole[at + 1 :])


@given(arrays.arrays(np.uint8, (28, 28, 1)))
def test_grey_pixels_of_the_size_come_through_unchanged(pixels: np.ndarray) -> None:
    png, brought = pictures.convert(pictures.encode_png(pixels), GREY, MAX_PIXELS)
    assert (brought == pixels).all()
    assert png == pictures.encode_png(pixels)


def test_transparent_pixels_become_white() -> None:
    see_through = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    assert (bring(see_through) == 255).all()
    assert (bring(Image.new("LA", (32, 32), (0, 0)), PictureFormat(32, 1)) == 255).all()


def test_in_four_channels_transparency_stays_and_hidden_colours_do_not() -> None:
    half = Image.new("RGBA", (64, 32), (10, 20, 30, 128))
    half.paste((255, 0, 0, 0), (0, 0, 32, 32))
    pixels = bring(half, PictureFormat(64, 4))
    assert pixels[32, [0, 50]].tolist() == [[255, 255, 255, 0], [10, 20, 30, 128]]
    assert (pixels[0] == (255, 255, 255, 0)).all()  # the padding
    assert (bring(Image.new("L", (64, 64), 7), PictureFormat(64, 4)) == (7, 7, 7, 255)).all()


def test_a_table_keeps_transparency_only_if_a_picture_has_it() -> None:
    headers = [pictures.read_header(saved(Image.new(mode, (30, 40))), MAX_PIXELS) for mode in ("L", "LA")]
    assert pictures.choose_format(headers, None, transparency=True) == PictureFormat(32, 4)
    assert pictures.choose_format(headers[:1], None, transparency=True) == PictureFormat(32, 1)
    assert pictures.choose_format(headers, None) == PictureFormat(32, 1)


def test_a_picture_that_is_not_square_is_padded_with_white() -> None:
    wide = bring(Image.new("RGB", (64, 32), (10, 20, 30)), PictureFormat(64, 3))
    assert wide.shape == (64, 64, 3)
    assert (wide[0] == 255).all()
    assert (wide[32] == (10, 20, 30)).all()


def test_sixteen_bits_keep_the_upper_eight() -> None:
    values = np.full((28, 28), 0x1234, np.uint16)
    assert (bring(Image.fromarray(values), GREY) == 0x12).all()


@pytest.mark.parametrize("mode", ["P", "CMYK", "L", "1"])
def test_every_mode_becomes_colour_where_the_table_is(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    png, pixels = pictures.convert(saved(Image.new(mode, (32, 32)), kind), COLOUR, MAX_PIXELS)
    assert pixels.shape == (32, 32, 3)
    assert Image.open(io.BytesIO(png)).mode == "RGB"


def test_a_photograph_is_turned_upright_and_loses_its_metadata() -> None:
    picture = Image.new("RGB", (32, 32), "white")
    picture.paste((0, 0, 0), (0, 0, 32, 8))  # dark at the top
    exif = picture.getexif()
    exif[0x0112] = 3  # upside down
    exif[0x010E] = "where it was taken"
    png, pixels = pictures.convert(saved(picture, exif=exif), COLOUR, MAX_PIXELS)
    assert pixels[0].min() == 255
    assert pixels[-1].max() == 0
    assert b"taken" not in png


def test_a_comment_in_a_png_is_removed() -> None:
    from PIL.PngImagePlugin import PngInfo

    comment = PngInfo()
    comment.add_text("Author", "somebody")
    plain = Image.new("L", (28, 28), 7)
    png, _ = pictures.convert(saved(plain, pnginfo=comment), GREY, MAX_PIXELS)
    hidden, _ = pictures.convert(saved(plain) + b"somebody", GREY, MAX_PIXELS)
    assert png == hidden == saved(plain)


def test_a_grey_picture_has_the_same_content_in_colour() -> None:
    grey = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28, 1)
    assert pictures.identity_bytes(np.repeat(grey, 3, axis=2)) == pictures.identity_bytes(grey)
    red = np.zeros((28, 28, 3), np.uint8)
    red[..., 0] = 9
    assert len(pictures.identity_bytes(red)) == red.size
