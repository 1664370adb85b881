"""The perceptual index: an issued picture is found after re-encoding, resizing and cropping; others are not."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from tests.support.signed_pictures import draw_blobs, encode_picture

from adloom.credentials.perceptual_index import Match, PerceptualIndex, compute_fingerprints, decode_picture
from adloom.data.picture_files import PictureError

ISSUED = 200


@pytest.fixture(scope="module")
def index() -> PerceptualIndex:
    filled = PerceptualIndex()
    for half in (range(ISSUED // 2), range(ISSUED // 2, ISSUED)):
        filled.add([str(seed) for seed in half], np.stack([compute_fingerprints(draw_blobs(seed)) for seed in half]))
    return filled


def save_as_jpeg(picture: Image.Image, quality: int = 50) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue()))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 50": save_as_jpeg,
    "half": lambda picture: picture.resize((32, 32)),
    "double": lambda picture: picture.resize((128, 128)),
    "screenshot": lambda picture: save_as_jpeg(picture.resize((96, 96))),
}
CROPS = {"a corner": (6, 6, 64, 64), "the middle": (3, 3, 61, 61), "one side": (0, 0, 58, 64)}


def change(seed: int, name: str) -> np.ndarray:
    return np.asarray(CHANGES[name](Image.fromarray(draw_blobs(seed))).convert("RGB"))


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_picture_is_found(index: PerceptualIndex, name: str) -> None:
    for seed in range(0, ISSUED, 20):
        match = index.search(change(seed, name))
        assert match is not None
        assert (match.id, match.kind) == (str(seed), "whole")
        assert match.certainty >= 0.99


@pytest.mark.parametrize("box", CROPS.values(), ids=CROPS)
def test_a_cropped_picture_is_found(index: PerceptualIndex, box: tuple[int, int, int, int]) -> None:
    matches = [index.search(np.asarray(Image.fromarray(draw_blobs(seed)).crop(box))) for seed in range(0, ISSUED, 20)]
    assert [match and (match.id, match.kind) for match in matches] == [
        (str(seed), "cropped") for seed in range(0, ISSUED, 20)
    ]


def test_a_poor_crop_is_certain_if_all_other_pictures_are_farther() -> None:
    twice = PerceptualIndex()
    for seed in [*range(ISSUED), *range(ISSUED)]:
        twice.add([str(seed)], compute_fingerprints(draw_blobs(seed))[None])
    for seed in range(0, 60, 10):
        small = Image.fromarray(draw_blobs(seed)).crop((2, 5, 60, 62)).resize((29, 28))
        match = twice.search(np.asarray(save_as_jpeg(small, 20).convert("RGB")))
        assert match is not None
        assert (match.id, match.kind) == (str(seed), "cropped")
        assert match.certainty >= 0.99


def test_a_look_alike_is_no_whole_match_in_a_small_index(index: PerceptualIndex) -> None:
    for seed in (7, 8, 9):
        look_alike = np.rint(0.85 * draw_blobs(seed) + 0.15 * draw_blobs(seed + 300)).astype(np.uint8)
        match = index.search(look_alike)
        assert match is None or match.kind != "whole"


def test_pictures_that_were_not_issued_are_not_found(index: PerceptualIndex) -> None:
    assert [index.search(draw_blobs(seed)) for seed in range(ISSUED, ISSUED + 40)] == [None] * 40


def test_colours_distinguish_pictures(index: PerceptualIndex) -> None:
    assert index.search(draw_blobs(7)[..., ::-1].copy()) is None


def test_the_same_picture_is_certain_and_an_empty_index_finds_nothing(index: PerceptualIndex) -> None:
    match = index.search(draw_blobs(7))
    assert isinstance(match, Match)
    assert match.certainty == pytest.approx(1, abs=1e-9)
    assert PerceptualIndex().search(draw_blobs(7)) is None


def test_a_plain_picture_resembles_nothing(index: PerceptualIndex) -> None:
    assert index.search(np.full((28, 28, 3), 255, np.uint8)) is None


def test_damaged_pictures_are_refused() -> None:
    with pytest.raises(PictureError, match="truncated or damaged"):
        decode_picture(encode_picture(draw_blobs(1))[:100])
