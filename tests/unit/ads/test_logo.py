import base64
import io

import pytest
from PIL import Image

from adloom.ads.logo import read_logo

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 120 40">'


def logo(content: str) -> bytes:
    return f"{HEAD}{content}</svg>".encode()


def png(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGBA", (width, height), (255, 0, 0, 128)).save(stream, "PNG")
    return stream.getvalue()


def test_shapes_are_kept_and_what_editors_add_is_dropped() -> None:
    read = read_logo(logo('<g id="a"><path d="M0 0h9v9z"/></g><use href="#a"/><x:view xmlns:x="urn:editor"/>'))
    svg = base64.b64decode(read.uri.partition(",")[2]).decode()
    assert read.aspect == 3
    assert "<path" in svg
    assert "editor" not in svg


def test_a_png_keeps_its_transparency_and_is_reduced() -> None:
    read = read_logo(png(1280, 640))
    image = Image.open(io.BytesIO(base64.b64decode(read.uri.partition(",")[2])))
    assert (read.aspect, image.size, image.mode) == (2, (640, 320), "RGBA")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (logo("<script>alert(1)</script>"), "<script> is not allowed"),
        (logo("<foreignObject/>"), "<foreignObject> is not allowed"),
        (logo("<text>Sale</text>"), "<text> is not allowed in a logo; convert texts to paths"),
        (logo("<style>*{fill:red}</style>"), "<style> is not allowed"),
        (logo('<image href="http://tracker.example/p.png"/>'), "<image> is not allowed"),
        (logo('<use href="http://tracker.example/a.svg#b"/>'), "attribute href: scripts and outside addresses"),
        (logo('<use xlink:href="file:///etc/passwd"/>'), "attribute href: scripts and outside addresses"),
        (logo('<g><path onload="alert(1)" d="M0 0"/></g>'), "attribute onload: scripts"),
        (logo("<path style=\"fill:url('http://tracker.example/a')\"/>"), "attribute style: scripts and outside"),
        (logo('<g xml:base="http://tracker.example/"/>'), "attribute base: scripts and outside"),
        (b'<!DOCTYPE svg [<!ENTITY a "aaaa">]>' + logo("&a;"), "has a DTD"),
        (logo("<g>" * 200 + "</g>" * 200), "more than 100 elements inside each other"),
        (logo('<g id="a"><use href="#a"/></g>'), "nothing of it is drawn"),
        (logo("<g>"), "neither PNG nor SVG"),
        (b"\xff\xfe\x00", "neither PNG nor SVG"),
        (b"<html/>", "not an SVG document"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "no size"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 0"/>', "no size"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" width="900" height="9"/>', "more than 12 times"),
        (png(30, 30)[:60], "not a PNG that can be read"),
        (png(3000, 2000), "pixels, expected at most 4000000"),
        (b"\x89PNG" * 200_000, "bytes, expected at most 500000"),
    ],
)
def test_a_logo_that_may_do_harm_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_logo(content)
