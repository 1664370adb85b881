"""Issued pictures: found by pixels and by looks, by several processes, and forgotten when there are many."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests.support.signed_pictures import KEY, ORIGIN, draw_blobs, encode_picture

from adloom.credentials.signer import PictureSigner
from adloom.data.picture_files import PictureError
from adloom.library.records import content_id
from adloom.serving.creatives import issued_pictures
from adloom.serving.creatives.issued_pictures import IssuedPictures

PLAIN = [encode_picture(draw_blobs(seed)) for seed in range(6)]
ORIGINS = [replace(ORIGIN, number=number) for number in range(6)]
SIGNED = [PictureSigner(KEY).sign_picture(picture, origin) for picture, origin in zip(PLAIN, ORIGINS, strict=True)]


def save_as_jpeg(picture: bytes) -> bytes:
    stream = io.BytesIO()
    Image.open(io.BytesIO(picture)).save(stream, "JPEG", quality=60)
    return stream.getvalue()


def test_a_stripped_picture_is_found_by_its_pixels() -> None:
    issued = IssuedPictures()
    issued.add(SIGNED, ORIGINS)
    match = issued.search(PLAIN[3])
    assert match is not None
    assert (match.id, match.kind, match.certainty, match.origin) == (content_id(SIGNED[3]), "pixels", 1, ORIGINS[3])


def test_a_picture_saved_again_is_found_by_its_looks_also_by_another_process(tmp_path: Path) -> None:
    writer, reader = IssuedPictures(tmp_path / "issued.db"), IssuedPictures(tmp_path / "issued.db")
    for part in (slice(0, 2), slice(2, 6)):
        writer.add(SIGNED[part], ORIGINS[part])
        last = len(SIGNED[part]) + part.start - 1
        match = reader.search(save_as_jpeg(PLAIN[last]))
        assert match is not None
        assert (match.id, match.kind, match.origin) == (content_id(SIGNED[last]), "whole", ORIGINS[last])
    assert IssuedPictures(tmp_path / "issued.db").search(save_as_jpeg(PLAIN[0])) is not None


def test_another_picture_is_not_found() -> None:
    issued = IssuedPictures()
    issued.add(SIGNED, ORIGINS)
    assert issued.search(encode_picture(draw_blobs(99))) is None


def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issued_pictures, "MAX_ISSUED", 2)
    monkeypatch.setattr(issued_pictures, "MAX_IN_MEMORY", 3)
    issued = IssuedPictures()
    for picture, origin in zip(SIGNED, ORIGINS, strict=True):
        issued.add([picture], [origin])
        assert issued.search(save_as_jpeg(picture)) is not None
    assert [issued.search(picture) is not None for picture in PLAIN] == [False] * 4 + [True] * 2
    assert [issued.search(save_as_jpeg(picture)) is not None for picture in PLAIN] == [False] * 4 + [True] * 2


def test_a_damaged_picture_is_refused() -> None:
    with pytest.raises(PictureError):
        IssuedPictures().search(PLAIN[0][:100])
