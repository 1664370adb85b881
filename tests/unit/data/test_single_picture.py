"""One picture a file: of the declared format, and nothing behind it."""

import pytest
from tests.support.odd_pictures import DECLARED, FORMATS, GOOD, JPEG, PNG, WEBP, animate, save

from adloom.data.picture_files import PictureError
from adloom.data.single_picture import find_media_type, require_single


@pytest.mark.parametrize("name", GOOD)
def test_a_single_picture_passes(name: str) -> None:
    require_single(GOOD[name][0])


@pytest.mark.parametrize(("kind", "image"), [("image/png", PNG), ("image/jpeg", JPEG), ("image/webp", WEBP)])
def test_the_declared_type_may_be_right(kind: str, image: bytes) -> None:
    require_single(image, kind)


@pytest.mark.parametrize("content", [b"", b"hello", b"GIF89a" + bytes(20), b"RIFF\0\0\0\0WAVE", b"\x89PNG"])
def test_another_format_is_refused(content: bytes) -> None:
    with pytest.raises(PictureError, match="neither PNG, JPEG nor WebP"):
        find_media_type(content)


@pytest.mark.parametrize("declared", DECLARED)
def test_the_declared_type_may_be_wrong(declared: str) -> None:
    image, reason = DECLARED[declared]
    with pytest.raises(PictureError, match=reason):
        require_single(image, declared)


@pytest.mark.parametrize("kind", FORMATS)
def test_no_byte_may_follow(kind: str) -> None:
    with pytest.raises(PictureError, match="data after the end of the picture"):
        require_single(save(kind) + b"%PDF-1.7")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    with pytest.raises(PictureError, match="more than one frame"):
        require_single(animate(kind))


@pytest.mark.parametrize("image", [PNG[:20], JPEG[:30], b"RIFF\0\0\0\0WEBPVP8X"])
def test_a_file_that_ends_early_is_damaged(image: bytes) -> None:
    with pytest.raises(PictureError, match="truncated or damaged"):
        require_single(image)
