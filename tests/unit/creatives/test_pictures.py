"""Pictures go to PNG and back unchanged; a broken one is named."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from adloom.arrays import UInt8Array
from adloom.creatives import pictures
from adloom.errors import DataError

RED_AND_GREY = np.array([[[255, 0], [9, 9]], [[0, 0], [9, 9]], [[0, 0], [9, 9]]], np.uint8)[None]  # (1, 3, 2, 2)


@given(arrays(np.uint8, st.tuples(st.integers(1, 3), st.sampled_from([1, 3, 4]), st.just(4), st.just(5))))
def test_png_and_floats_lose_nothing(pixels: UInt8Array) -> None:
    _, channels, height, width = pixels.shape
    assert (pictures.decode_pngs(pictures.encode_pngs(pixels), channels, height, width) == pixels).all()
    floats = pictures.to_floats(pixels)
    assert floats.dtype == np.float32
    assert np.abs(floats).max() <= 1
    assert (pictures.to_pixels(floats) == pixels).all()


def test_floats_by_hand() -> None:
    assert pictures.to_floats(np.array([0, 51, 255], np.uint8)).tolist() == pytest.approx([-1, -0.6, 1])
    assert pictures.to_pixels(np.array([-7, -1, 0, 1, 7], np.float32)).tolist() == [0, 0, 128, 255, 255]


def test_equal_pixels_give_equal_bytes_without_metadata() -> None:
    [first], [second] = pictures.encode_pngs(RED_AND_GREY), pictures.encode_pngs(RED_AND_GREY.copy())
    assert first == second
    assert not any(chunk in first for chunk in (b"tEXt", b"tIME", b"iTXt", b"pHYs"))


def test_colour_is_decoded_as_grey_for_one_channel() -> None:
    [grey] = pictures.decode_pngs(pictures.encode_pngs(RED_AND_GREY), 1, 2, 2)
    assert grey.tolist() == [[[76, 0], [9, 9]]]  # 0.299 of red


def test_transparency_is_laid_on_white_alike_in_pixels_and_floats() -> None:
    pixels = np.array([[0, 0, 0, 51], [255, 0, 102, 255], [9, 9, 9, 0]], np.uint8)  # a fifth, all and none of a colour
    planes = pixels.T.reshape(1, 4, 1, 3)
    expected = [[204, 255, 255], [204, 0, 255], [204, 102, 255]]
    assert pictures.decode_pngs(pictures.encode_pngs(planes), 3, 1, 3)[0, :, 0].tolist() == expected
    assert pictures.to_pixels(pictures.lay_on_white(pictures.to_floats(planes)))[0, :, 0].tolist() == expected
    assert (pictures.lay_on_white(pictures.to_floats(planes[:, :3])) == pictures.to_floats(planes[:, :3])).all()


def test_a_sheet_lays_pictures_out_row_by_row() -> None:
    pixels = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1)
    [sheet] = pictures.decode_pngs([pictures.draw_sheet(pixels, columns=2, gap=1, scale=1)], 1, 3, 3)
    assert sheet[0].tolist() == [[0, 255, 1], [255, 255, 255], [2, 255, 255]]


def test_a_sheet_names_its_rows() -> None:
    pixels = np.full((4, 3, 28, 28), 7, np.uint8)
    plain, named = (
        np.asarray(Image.open(io.BytesIO(pictures.draw_sheet(pixels, 2, labels)))) for labels in ((), ("a", "w" * 99))
    )
    margin = named[:, : named.shape[1] - plain.shape[1]]
    assert (named[:, -plain.shape[1] :] == plain).all()
    assert [bool((rows == 0).any()) for rows in np.split(margin, [60], 0)] == [True, True]
    assert 100 < margin.shape[1] < 300  # a long name is shortened


@pytest.mark.parametrize(
    ("png", "message"),
    [
        (b"", r"picture 1: not a PNG that can be read .*; run `adloom prepare`"),
        (pictures.encode_pngs(RED_AND_GREY)[0][:45], r"picture 1: not a PNG that can be read"),
        (pictures.encode_pngs(RED_AND_GREY[..., :1])[0], r"picture 1: 1x2 pixels, expected 2x2; run `adloom prepare`"),
    ],
    ids=["empty", "truncated", "of another size"],
)
def test_a_broken_picture_is_named(png: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pictures.decode_pngs([*pictures.encode_pngs(RED_AND_GREY), png], 3, 2, 2)
