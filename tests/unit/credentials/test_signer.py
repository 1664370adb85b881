"""Signed pictures: same pixels, all facts, small; ingredients bring their manifests along."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.support.signed_pictures import (
    FORMATS,
    KEY,
    ORIGIN,
    OTHER_KEY,
    decode_picture,
    draw_pixels,
    encode_picture,
)

from adloom.credentials.containers import extract_pixel_data
from adloom.credentials.keys import create_local_key
from adloom.credentials.origin import COMPOSITE, Origin
from adloom.credentials.records import UsedIngredient
from adloom.credentials.signer import Ingredient, PictureSigner
from adloom.credentials.verification import PictureVerifier
from adloom.data.picture_files import PictureError
from adloom.errors import UnavailableError

SIGNER, VERIFIER = PictureSigner(KEY), PictureVerifier(KEY)
LIMIT = 12_000  # bytes that a manifest may add to a small PNG


@pytest.mark.parametrize("kind", FORMATS)
def test_a_signed_picture_has_the_same_pixels_and_its_origin(kind: str) -> None:
    picture = encode_picture(draw_pixels(), kind)
    signed = SIGNER.sign_picture(picture, ORIGIN)
    assert np.array_equal(decode_picture(signed), decode_picture(picture))
    assert extract_pixel_data(signed) == extract_pixel_data(picture)
    assert len(signed) - len(picture) < LIMIT
    verification = VERIFIER.verify(signed)
    assert (verification.state, verification.ours, verification.origin) == ("whole", True, ORIGIN)
    assert verification.made_at
    assert datetime.now(UTC) - datetime.fromisoformat(verification.made_at) < timedelta(minutes=1)


def test_signed_ingredients_bring_their_manifests_along() -> None:
    layer = SIGNER.sign_picture(encode_picture(draw_pixels()), ORIGIN)
    plain = encode_picture(draw_pixels(seed=1), "jpeg")
    ingredients = [Ingredient("picture", layer, "componentOf"), Ingredient("logo", plain, "componentOf")]
    picture = encode_picture(draw_pixels(edge=64))
    signed = SIGNER.sign_picture(picture, Origin("composer", source_type=COMPOSITE), ingredients)
    assert len(signed) - len(picture) < LIMIT
    assert VERIFIER.verify(signed).ingredients == tuple(
        UsedIngredient(one.title, one.definition["instance_id"], "componentOf", signed=one.title == "picture")
        for one in ingredients
    )


@pytest.mark.parametrize("content", [b"<svg/>", b"", encode_picture(draw_pixels())[:60]])
def test_an_ingredient_that_c2pa_cannot_read_is_named(content: bytes) -> None:
    signed = SIGNER.sign_picture(encode_picture(draw_pixels()), ORIGIN, [Ingredient("logo", content)])
    (ingredient,) = VERIFIER.verify(signed).ingredients
    assert (ingredient.title, ingredient.relationship, ingredient.signed) == ("logo", "inputTo", False)
    assert ingredient.id == Ingredient("logo", content).definition["instance_id"]


def test_two_signers_in_threads_do_not_mix() -> None:
    signers = [PictureSigner(KEY), PictureSigner(OTHER_KEY)]
    picture = encode_picture(draw_pixels())
    with ThreadPoolExecutor(4) as threads:
        signed = list(threads.map(lambda n: signers[n % 2].sign_picture(picture, Origin("gan", seed=n)), range(40)))
        verified = list(threads.map(VERIFIER.verify, signed))
    assert [verification.ours for verification in verified] == [True, False] * 20
    assert [verification.origin.seed for verification in verified if verification.origin] == list(range(40))


def test_a_certificate_that_has_expired_since_the_start_signs_nothing() -> None:
    expired = create_local_key(datetime.now(UTC) - timedelta(days=4000))
    with pytest.raises(UnavailableError, match="the picture cannot be signed: .*not valid at time of signing"):
        PictureSigner(expired).sign_picture(encode_picture(draw_pixels()), ORIGIN)


def test_another_format_is_refused() -> None:
    with pytest.raises(PictureError, match="neither PNG, JPEG nor WebP"):
        SIGNER.sign_picture(b"GIF89a", ORIGIN)
