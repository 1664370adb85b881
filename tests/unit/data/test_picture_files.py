"""Picture files: slow files are rejected early, and metadata costs nothing."""

import contextlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from tests.support.slow_pictures import HARMLESS, REFUSED, chunk, many_scans, saved

from adloom.data import pictures
from adloom.data.picture_files import (
    INFLATION_WINDOW,
    PER_BLOCK,
    PER_BLOCK_REFINED,
    PER_SCAN,
    PictureError,
    read_orientation,
    reduce_picture,
    require_inflation,
)
from adloom.data.pictures import PictureFormat

GREY = PictureFormat(28, 1)
MAX_PIXELS = 16_777_216


@pytest.mark.parametrize("name", REFUSED)
def test_a_slow_file_is_refused_before_it_is_decoded(name: str) -> None:
    make, reason = REFUSED[name]
    image = make()
    with pytest.raises(PictureError, match=reason):
        pictures.read_header(image, MAX_PIXELS)
    with pytest.raises(PictureError, match=reason):
        pictures.convert(image, GREY, MAX_PIXELS)


@pytest.mark.parametrize("name", HARMLESS)
def test_only_pixel_data_is_read(name: str) -> None:
    image = HARMLESS[name]()
    assert len(reduce_picture(image).data) < 200_000 + (name == "tags") * len(image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png, _ = pictures.convert(image, GREY, MAX_PIXELS)
    assert len(png) < 1000


@pytest.mark.parametrize("interlaced", [0, 1])
def test_pixels_of_any_depth_fit_and_a_bomb_does_not(interlaced: int) -> None:
    for depth, colour, channels in ((1, 0, 1), (16, 0, 1), (8, 2, 3), (4, 3, 1), (16, 6, 4)):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 999, 50, depth, colour, 0, 0, interlaced))
        size = 50 * (1 + -(-999 * depth * channels // 8)) + interlaced * 3 * 50
        start = b"\x89PNG\r\n\x1a\n" + header
        require_inflation(start + chunk(b"IDAT", zlib.compress(bytes(size))))
        with pytest.raises(PictureError, match="more compressed data than its size needs"):
            require_inflation(start + chunk(b"IDAT", zlib.compress(bytes(size + INFLATION_WINDOW + 1))))


def test_an_interlaced_picture_is_read() -> None:
    gradient = Image.linear_gradient("L").resize((333, 21))
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    pixels = np.asarray(gradient)
    rows = [row for x, y, across, down in passes for row in pixels[y::down, x::across]]
    header = struct.pack(">IIBBBBB", 333, 21, 8, 0, 0, 0, 1)
    content = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", content), chunk(b"IEND", b""))
    whole = b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    assert (pictures.decode_within(whole, 333, MAX_PIXELS)[:, :, 0] == pixels).all()


def test_a_scan_costs_the_blocks_it_visits() -> None:
    plain = saved(Image.new("RGB", (64, 32)), "JPEG", subsampling=0)  # 3 components of 32 blocks in one scan
    read = reduce_picture(plain)
    assert read.nanoseconds == PER_SCAN + 3 * 32 * PER_BLOCK + 10 * (len(read.data) - 2)
    assert reduce_picture(saved(Image.new("RGB", (64, 32)), "JPEG", subsampling=2)).nanoseconds == pytest.approx(
        PER_SCAN + 1.5 * 32 * PER_BLOCK + 10 * (len(read.data) - 2), rel=0.1
    )
    once, often = reduce_picture(many_scans(1, 64)), reduce_picture(many_scans(11, 64))
    scan = (len(often.data) - len(once.data)) / 10
    assert often.nanoseconds - once.nanoseconds == 10 * (PER_SCAN + 64 * PER_BLOCK_REFINED + 25 * scan)


def open_reduced(whole: bytes) -> Image.Image:
    reduced = reduce_picture(whole)
    return Image.open(io.BytesIO(reduced.data), formats=[reduced.format])


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 1}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_keeps_its_pixels(mode: str, options: dict[str, object]) -> None:
    noise = np.random.default_rng(7).integers(0, 255, (40, 40, 3), np.uint8)
    whole = saved(Image.fromarray(noise).convert(mode), "JPEG", comment=b"a comment", **options)
    reduced = open_reduced(whole)
    assert "comment" not in reduced.info
    assert (np.asarray(reduced) == np.asarray(Image.open(io.BytesIO(whole)))).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (28, 28), (shade, shade, shade)) for shade in (40, 200)]
    whole = saved(
        frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    assert (pictures.convert(whole, GREY, MAX_PIXELS)[1] == 40).all()


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "I;16"])
def test_a_tiff_keeps_its_pixels(mode: str, compression: str) -> None:
    gradient = Image.linear_gradient("L").resize((28, 28))
    picture = (
        gradient.convert(mode) if mode != "I;16" else Image.fromarray(np.asarray(gradient).astype(np.uint16) * 257)
    )
    whole = saved(picture, "TIFF", compression=compression)
    reduced = open_reduced(whole)
    assert (np.asarray(reduced) == np.asarray(picture)).all()


def test_a_large_photograph_is_accepted() -> None:
    rng = np.random.default_rng(7)
    photograph = Image.fromarray(rng.integers(0, 255, (100, 130, 3), np.uint8)).resize((4000, 3000))  # 12 megapixels
    for options in ({"quality": 90}, {"progressive": True}):
        assert pictures.read_header(saved(photograph, "JPEG", **options), MAX_PIXELS).width == 4000


def test_a_jpeg_at_a_fraction_of_its_size_looks_the_same() -> None:
    large = Image.radial_gradient("L").resize((1024, 1024), Image.Resampling.BICUBIC)
    slow = pictures.convert(saved(large), PictureFormat(64, 1), MAX_PIXELS)[1].astype(int)
    fast = pictures.convert(saved(large, "JPEG", quality=95), PictureFormat(64, 1), MAX_PIXELS)[1].astype(int)
    assert np.abs(slow - fast).max() <= 4


@pytest.mark.parametrize("turned", range(1, 9))
def test_every_orientation_is_turned_upright_as_pillow_does(turned: int) -> None:
    picture = Image.new("L", (28, 21), 255)
    picture.paste(0, (0, 0, 9, 4))
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "somewhere", turned
    whole = saved(picture, exif=exif)
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(whole)))
    assert (pictures.decode_within(whole, 28, MAX_PIXELS)[:, :, 0] == np.asarray(wanted)).all()
    header = pictures.read_header(whole, MAX_PIXELS)
    assert (header.width, header.height) == wanted.size


@given(st.binary(max_size=80), st.sampled_from([b"", b"Exif\0\0II*\0", b"MM\0*\0\0\0\x08"]))
def test_any_exif_has_an_orientation(rest: bytes, start: bytes) -> None:
    assert 0 <= read_orientation(start + rest) <= 65535


@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"]), st.integers(0, 600), st.binary(max_size=9))
def test_damage_is_a_reason_or_nothing(kind: str, position: int, bytes_: bytes) -> None:
    whole = saved(Image.new("RGB", (30, 30), (9, 99, 199)), kind)
    damaged = whole[:position] + bytes_ + whole[position + len(bytes_) :]
    with contextlib.suppress(PictureError):
        assert pictures.convert(damaged, GREY, MAX_PIXELS)[1].shape == (28, 28, 1)


def test_a_big_tiff_is_rejected() -> None:
    with pytest.raises(PictureError, match="not a picture"):
        reduce_picture(b"II+\0" + struct.pack("<HHQ", 8, 0, 16))
