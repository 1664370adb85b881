"""Font files: the width of a text, and the characters that a font lacks."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from PIL import ImageFont

from adloom.errors import ConfigError

EM = 1000  # pixels of the size at which widths are measured
GLYPH_EM = 24  # pixels of the size at which glyphs are compared
CAP_HEIGHT, DESCENT = 0.72, 0.25  # of a text's size, above and below its baseline
MISSING = "\U0010fffd"  # a private character that no font draws
INVISIBLE = {"Cf", "Mn", "Me", "Zs"}  # categories of characters that need no glyph of their own
RIGHT_TO_LEFT = {"R", "AL"}  # bidirectional classes
WEIGHTS = {
    "thin": 100, "extralight": 200, "light": 300, "medium": 500, "semibold": 600, "extrabold": 800, "black": 900,
    "bold": 700,
}  # fmt: skip


@dataclass(frozen=True)
class Typeface:
    """A font file."""

    path: str

    @cached_property
    def _font(self) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(self.path, EM, layout_engine=ImageFont.Layout.BASIC)

    @property
    def family(self) -> str:
        """The name of its family."""
        return self._font.getname()[0] or ""

    @property
    def weight(self) -> int:
        """Its weight in CSS, by the name of its style."""
        style = (self._font.getname()[1] or "").replace(" ", "").lower()
        return next((weight for name, weight in WEIGHTS.items() if name in style), 400)

    @property
    def style(self) -> str:
        """Its style in CSS."""
        return "italic" if (self._font.getname()[1] or "").lower().endswith(("italic", "oblique")) else "normal"

    def measure(self, text: str, size: float) -> float:
        """Return the sum of the advance widths; kerning makes most texts up to 3 % narrower."""
        return _measure(self, text) * size / EM

    def find_missing(self, text: str) -> list[str]:
        """Return the characters that the font cannot draw."""
        return [character for character in dict.fromkeys(text) if not _has_glyph(self, character)]


@dataclass(frozen=True)
class Typefaces:
    """The two fonts of a brand."""

    headline: Typeface
    text: Typeface

    @property
    def paths(self) -> Sequence[str]:
        """The files."""
        return [self.headline.path, self.text.path]


@lru_cache(10_000)
def _has_glyph(face: Typeface, character: str) -> bool:
    """Return whether a font draws a character otherwise than one that it lacks."""
    if unicodedata.category(character) in INVISIBLE:
        return True
    font = ImageFont.truetype(face.path, GLYPH_EM, layout_engine=ImageFont.Layout.BASIC)
    mask = font.getmask(character)
    return bool(mask.size[0]) and bytes(mask) != bytes(font.getmask(MISSING))


@lru_cache(100_000)
def _measure(face: Typeface, text: str) -> float:
    return face._font.getlength(text)


def open_typeface(path: Path) -> Typeface:
    """Open a font file. Raises ConfigError."""
    face = Typeface(str(path))
    try:
        face.measure("x", EM)
    except OSError as error:
        raise ConfigError(f"{path}: not a font file that can be read ({error}); expected a TTF or OTF file") from None
    return face


def find_default_typefaces() -> Typefaces:
    """Return Source Sans Pro (SIL Open Font License 1.1), which a package brings."""
    import font_source_sans_pro

    folder = Path(font_source_sans_pro.font_directory)
    return Typefaces(
        Typeface(str(folder / "SourceSansPro-Bold.ttf")), Typeface(str(folder / "SourceSansPro-Regular.ttf"))
    )


def is_right_to_left(text: str) -> bool:
    """Return whether a text's first letter is of a script that runs from right to left."""
    classes = (unicodedata.bidirectional(character) for character in text)
    return next((each in RIGHT_TO_LEFT for each in classes if each in {"L", *RIGHT_TO_LEFT}), False)
