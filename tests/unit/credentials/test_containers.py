"""Containers: pixel data ignores metadata, and damaged files are refused."""

import pytest
from tests.support.signed_pictures import FORMATS, decode_picture, draw_pixels, encode_picture, flip_byte

from adloom.credentials.containers import extract_pixel_data, insert_png_text, insert_xmp
from adloom.data.picture_files import PictureError
from adloom.data.single_picture import find_media_type


@pytest.mark.parametrize("kind", FORMATS)
def test_metadata_changes_the_file_and_not_its_pixel_data(kind: str) -> None:
    picture = encode_picture(draw_pixels(), kind)
    described = insert_xmp(insert_xmp(picture, "<one/>"), "<two/>")
    assert find_media_type(described) == f"image/{kind.rsplit(maxsplit=1)[-1]}"
    assert extract_pixel_data(described) == extract_pixel_data(picture)
    assert extract_pixel_data(picture) != extract_pixel_data(encode_picture(draw_pixels(seed=1), kind))
    assert decode_picture(described).shape == (28, 28, 3)


def test_png_text_is_a_chunk_of_its_own() -> None:
    picture = encode_picture(draw_pixels())
    assert extract_pixel_data(insert_png_text(picture, "adloom:model", "é")) == extract_pixel_data(picture)


def test_a_transparent_webp_stays_transparent() -> None:
    picture = encode_picture(draw_pixels(channels=4), "lossless webp")
    described = insert_xmp(picture, "<xmp/>")
    assert (decode_picture(described) == decode_picture(picture)).all()
    assert decode_picture(described).shape == (28, 28, 4)


def test_a_webp_without_pixels_is_refused() -> None:
    for picture in (b"RIFF\4\0\0\0WEBP", b"RIFF\x10\0\0\0WEBPVP8L\2\0\0\0ab"):
        with pytest.raises(PictureError, match="truncated or damaged"):
            insert_xmp(picture, "<xmp/>")


def test_more_xmp_than_a_jpeg_can_hold_is_refused() -> None:
    with pytest.raises(PictureError, match="70000 bytes of metadata, expected at most 65533"):
        insert_xmp(encode_picture(draw_pixels(), "jpeg"), "x" * 70_000)


def test_changed_pixels_change_the_pixel_data() -> None:
    picture = encode_picture(draw_pixels())
    changed = flip_byte(picture, picture.index(b"IDAT") + 9)
    assert extract_pixel_data(changed) != extract_pixel_data(picture)
