"""Verification: whole, changed (and which part), stripped, of others, trusted or not; nothing crashes it."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.support.signed_pictures import FORMATS, KEY, ORIGIN, OTHER_KEY, draw_pixels, encode_picture, flip_byte

from adloom.credentials.containers import insert_png_text
from adloom.credentials.keys import SigningKey
from adloom.credentials.records import Verification
from adloom.credentials.signer import PictureSigner
from adloom.credentials.verification import PictureVerifier, find_key_fault
from adloom.data.picture_files import PictureError

PICTURE = encode_picture(draw_pixels())
SIGNED = PictureSigner(KEY).sign_picture(PICTURE, ORIGIN)
VERIFIER = PictureVerifier(KEY)


def test_our_own_certificate_is_ours_and_trusted_by_nobody() -> None:
    verification = VERIFIER.verify(SIGNED)
    assert (verification.state, verification.ours, verification.trusted_by) == ("whole", True, None)
    assert verification.signed_by == "adloom local signer"


def test_another_certificate_is_whole_and_neither_ours_nor_trusted() -> None:
    verification = PictureVerifier(OTHER_KEY).verify(SIGNED)
    assert (verification.state, verification.ours, verification.trusted_by) == ("whole", False, None)
    assert verification.origin == ORIGIN


def test_an_authority_that_is_trusted_vouches_by_name() -> None:
    assert PictureVerifier(OTHER_KEY, KEY.authorities).verify(SIGNED).trusted_by == "adloom local CA"
    assert PictureVerifier(OTHER_KEY, OTHER_KEY.authorities).verify(SIGNED).trusted_by is None


def test_a_picture_of_an_earlier_certificate_stays_ours() -> None:
    rotated = SigningKey(OTHER_KEY.key, OTHER_KEY.chain, KEY.chain)
    assert PictureVerifier(rotated).verify(SIGNED).ours


def test_another_signer_of_our_authority_is_not_ours() -> None:
    """The authority of a certificate that was bought has other customers."""
    customer = SigningKey(OTHER_KEY.key, (OTHER_KEY.certificate, *KEY.chain[1:]))
    assert not PictureVerifier(customer).verify(SIGNED).ours


@pytest.mark.parametrize("kind", FORMATS)
def test_changed_pixels_are_named(kind: str) -> None:
    signed = PictureSigner(KEY).sign_picture(encode_picture(draw_pixels(), kind), ORIGIN)
    data = {"png": b"IDAT", "jpeg": b"\xff\xda", "webp": b"VP8 ", "lossless webp": b"VP8L"}[kind]
    verification = VERIFIER.verify(flip_byte(signed, signed.rindex(data) + 60))
    assert (verification.state, verification.changed) == ("changed", ("pixels",))
    assert verification.origin == ORIGIN


def test_changed_metadata_is_told_from_changed_pixels() -> None:
    verification = VERIFIER.verify(insert_png_text(SIGNED, "comment", "hello"))
    assert (verification.state, verification.changed, verification.ours) == ("changed", ("metadata",), True)


@pytest.mark.parametrize("field", [b"seed", b"softwareAgent", b"Bag &", b"digitalSourceType"])
def test_a_changed_manifest_tells_nothing_more(field: bytes) -> None:
    changed = flip_byte(SIGNED, SIGNED.index(field, SIGNED.index(b"caBX")) + 4)
    assert VERIFIER.verify(changed) == Verification("changed", ("manifest",))


def test_a_manifest_from_another_picture_does_not_fit() -> None:
    start, end = SIGNED.index(b"caBX") - 4, SIGNED.index(b"IDAT") - 4
    other = encode_picture(draw_pixels(seed=1))
    moved = other[: other.index(b"IDAT") - 4] + SIGNED[start:end] + other[other.index(b"IDAT") - 4 :]
    assert VERIFIER.verify(moved).changed == ("pixels",)


def test_a_picture_saved_again_is_stripped() -> None:
    stream = io.BytesIO()
    Image.open(io.BytesIO(SIGNED)).save(stream, "JPEG")
    assert VERIFIER.verify(stream.getvalue()) == VERIFIER.verify(PICTURE) == Verification("stripped")


def test_an_expired_certificate_is_told() -> None:
    expired = (Path(__file__).parents[2] / "data" / "expired_certificate.png").read_bytes()
    assert VERIFIER.verify(expired).state == "expired"
    assert VERIFIER.verify(insert_png_text(expired, "comment", "hello")).state == "changed"


@pytest.mark.parametrize("content", [b"", b"hello", b"GIF89a" + bytes(99), "é".encode()])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(PictureError, match="neither PNG, JPEG nor WebP"):
        VERIFIER.verify(content)


@given(at=st.integers(0, len(SIGNED) - 9), junk=st.binary(max_size=40))
def test_no_damage_is_whole_unless_it_changes_nothing_signed(at: int, junk: bytes) -> None:
    damaged = SIGNED[: at + 8] + junk + SIGNED[at + 8 + len(junk) :]
    verification = VERIFIER.verify(damaged)
    assert verification.state != "whole" or verification == VERIFIER.verify(SIGNED)


@given(st.integers(9, len(SIGNED) - 1))
def test_a_truncated_picture_is_not_whole(length: int) -> None:
    assert VERIFIER.verify(SIGNED[:length]).state in ("changed", "stripped")


def test_a_key_is_tried() -> None:
    assert find_key_fault(KEY) is None
    mixed = replace(KEY, chain=(KEY.certificate, *OTHER_KEY.chain[1:]))
    assert find_key_fault(mixed) == "signingCredential.untrusted"
