"""Content credentials: a stamped PNG is valid and names its source."""

import io

import numpy as np
from PIL import Image

from adloom.serving.creatives.content_credentials import SOURCE_TYPE, add_provenance


def test_a_stamped_picture_has_the_facts_and_the_same_pixels() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    stamped = add_provenance(stream.getvalue(), {"model": "abc", "category": "<Bag & é>"})
    Image.open(io.BytesIO(stamped)).verify()  # of its checksums
    picture = Image.open(io.BytesIO(stamped))
    assert np.array_equal(np.asarray(picture), pixels)
    assert (picture.info["adloom:model"], picture.info["adloom:category"]) == ("abc", "<Bag & é>")
    xmp = picture.info["xmp"].decode()
    assert f"digitalsourcetype/{SOURCE_TYPE}<" in xmp
    assert "category: &lt;Bag &amp; é&gt;" in xmp
