import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.http_client import DARK, png

from adloom.errors import DataError
from adloom.library.features import describe_line, describe_picture, round_embedding
from adloom.library.records import content_id


def test_a_picture_has_size_and_mean_colours() -> None:
    quarters = np.zeros((4, 8, 3), np.uint8)
    quarters[:2, :4, 0] = quarters[:2, 4:, 1] = quarters[2:, :4, 2] = 200
    creative = describe_picture(png(quarters), category="Bag", features={"draw": "abc"})
    assert (creative.width, creative.height, creative.media_type) == (8, 4, "image/png")
    features = describe_picture(png(quarters.repeat(8, 0).repeat(8, 1))).features
    assert features["colours"] == ["#323232", "#c80000", "#00c800", "#0000c8", "#000000"]
    assert creative.features["draw"] == "abc"


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2)])
def test_a_small_picture_has_five_colours_too(size: tuple[int, int]) -> None:
    creative = describe_picture(png(np.full((*size, 3), 255, np.uint8)), "ad", placement="1x1")
    assert creative.features["colours"] == ["#ffffff"] * 5
    assert (creative.height, creative.width, creative.placement) == (*size, "1x1")


@pytest.mark.parametrize("content", [b"", b"a text", DARK[:50], b"RIFF", b"\xff\xd8\xff"])
def test_another_file_is_one_line(content: bytes) -> None:
    with pytest.raises(DataError):
        describe_picture(content)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_line_has_its_length(text: str) -> None:
    creative = describe_line(text, seed=3, features={"rank": 1})
    assert creative.id == content_id(text.encode())
    assert creative.features == {"characters": len(text), "words": len(text.split()), "rank": 1}


def test_an_embedding_is_stored_in_four_decimals() -> None:
    assert round_embedding(np.array([0.123456, -1], np.float32)) == [0.1235, -1.0]
