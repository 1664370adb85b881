from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from adloom.ads.typefaces import find_default_typefaces, is_right_to_left, open_typeface
from adloom.errors import ConfigError

FACE = find_default_typefaces().headline


def test_widths_are_the_advances_of_the_font() -> None:
    text = "Avatar & Wave 24"
    font = TTFont(FACE.path)
    glyphs, advances = font.getBestCmap(), font["hmtx"]
    expected = sum(advances[glyphs[ord(character)]][0] for character in text) * 30 / font["head"].unitsPerEm
    assert FACE.measure(text, 30) == pytest.approx(expected, rel=0.001)


def test_the_bundled_fonts_have_their_names() -> None:
    faces = find_default_typefaces()
    assert [(face.family, face.weight, face.style) for face in (faces.headline, faces.text)] == [
        ("Source Sans Pro", 700, "normal"),
        ("Source Sans Pro", 400, "normal"),
    ]


def test_an_italic_face_is_italic() -> None:
    face = open_typeface(Path(FACE.path).with_name("SourceSansPro-BoldIt.ttf"))
    assert (face.weight, face.style) == (700, "italic")


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("Prêt-à-porter: 24 €", []),
        ("Łódź, Ђорђе, Ωμέγα", []),
        ("Wow \U0001f600 ok", ["\U0001f600"]),
        ("שלום", list("שלום")),
        ("日本", ["日", "本"]),
        ("soft\u00adhyphen\u200bspace\u2009", []),
    ],
)
def test_characters_without_a_glyph_are_found(text: str, missing: list[str]) -> None:
    assert FACE.find_missing(text) == missing


@pytest.mark.parametrize(
    ("text", "expected"), [("שלום world", True), ("42 مرحبا", True), ("Hello שלום", False), ("42!", False), ("", False)]
)
def test_the_first_letter_gives_the_direction(text: str, expected: bool) -> None:
    assert is_right_to_left(text) is expected


def test_a_file_that_is_no_font_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "brand.ttf"
    path.write_bytes(b"no font")
    with pytest.raises(ConfigError, match=r"brand\.ttf: not a font file that can be read .*; expected a TTF or OTF"):
        open_typeface(path)
