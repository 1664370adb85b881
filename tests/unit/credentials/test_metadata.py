"""Metadata: a described picture is valid, has the same pixels and names its source."""

import io

import numpy as np
import pytest
from PIL import Image
from tests.support.signed_pictures import FORMATS, ORIGIN, decode_picture, draw_pixels, encode_picture

from adloom.credentials.metadata import add_metadata
from adloom.credentials.origin import COMPOSITE, Origin


@pytest.mark.parametrize("kind", FORMATS)
def test_a_described_picture_has_the_same_pixels_and_says_what_it_is(kind: str) -> None:
    picture = encode_picture(draw_pixels(edge=31), kind)
    described = add_metadata(picture, ORIGIN)
    assert np.array_equal(decode_picture(described), decode_picture(picture))
    xmp = Image.open(io.BytesIO(described)).info["xmp"].decode()
    assert "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia<" in xmp
    assert f"model: {'a' * 64}; category: &lt;Bag &amp; é&gt;; seed: 7; number: 1<" in xmp


def test_a_png_has_the_facts_as_text_too() -> None:
    described = add_metadata(encode_picture(draw_pixels()), ORIGIN)
    Image.open(io.BytesIO(described)).verify()  # of its checksums
    info = Image.open(io.BytesIO(described)).info
    assert (info["adloom:model"], info["adloom:category"], info["adloom:number"]) == ("a" * 64, "<Bag & é>", "1")


def test_a_composite_says_so() -> None:
    described = add_metadata(encode_picture(draw_pixels()), Origin("style", source_type=COMPOSITE))
    assert b"digitalsourcetype/compositeWithTrainedAlgorithmicMedia<" in described
