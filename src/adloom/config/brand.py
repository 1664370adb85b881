"""brand.yaml: how the ads of a brand look and what they say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from adloom.config.base import ConfigModel, load_file, require_match

BRAND = Path("brand.yaml")
PlacementName = Literal[
    "300x250", "728x90", "160x600", "320x50", "970x250", "300x600", "1080x1080", "1080x1920", "1200x628"
]
Colour = Annotated[str, require_match("#[0-9a-fA-F]{6}", "a colour such as #1f3a5f")]
# XML has no other characters; U+202D and U+202E show a text backwards, so that rules read another one than people.
_PRINTED = r"[^\x00-\x1f\x7f\u202d\u202e\ud800-\udfff\ufffe\uffff]"
LINE = rf"{_PRINTED}*(?!\s){_PRINTED}+"
_Line = require_match(LINE, "a line of text without control characters")
Text = Annotated[str, StringConstraints(min_length=1, max_length=200), _Line]
Name = Annotated[str, StringConstraints(min_length=1, max_length=40), _Line]
Label = Annotated[str, StringConstraints(min_length=1, max_length=20), _Line]


class Palette(ConfigModel):
    """The colours of a brand. Texts are `ink` or `paper`, whichever has more contrast with its ground."""

    primary: Colour = Field("#1f2a52", description="Dark colour of grounds and panels.")
    accent: Colour = Field("#ff6b4a", description="Bright colour of buttons and highlights.")
    surface: Colour = Field("#f7efe4", description="Light colour of grounds and of what pictures show.")
    ink: Colour = Field("#14182b", description="Dark texts.")
    paper: Colour = Field("#ffffff", description="Light texts.")


class Typefaces(ConfigModel):
    """The font files of a brand, TTF or OTF; relative paths start at the folder of brand.yaml."""

    headline: str | None = Field(
        None, description="Of headlines, buttons and names; default: Source Sans Pro Bold (OFL)."
    )
    text: str | None = Field(None, description="Of disclaimers; default: Source Sans Pro Regular (OFL).")


class Disclaimer(ConfigModel):
    """A text that ads must carry."""

    text: Text = Field(description="The text, such as Terms apply.")
    categories: list[Text] = Field([], description="Categories that need it; empty: all.")
    placements: list[PlacementName] = Field([], description="Ad sizes that need it; empty: all.")

    def applies(self, category: str | None, placement: str) -> bool:
        """Return whether an ad needs it."""
        categories = {name.casefold() for name in self.categories}
        return (not categories or (category or "").casefold() in categories) and (
            not self.placements or placement in self.placements
        )


class BrandKit(ConfigModel):
    """The file brand.yaml."""

    name: Name = Field(description="The brand's name.")
    logo: str | None = Field(
        None, description="PNG or SVG file, relative to the folder of brand.yaml; without one the name is written."
    )
    palette: Palette = Field(Palette(), description="Colours.")
    typefaces: Typefaces = Field(Typefaces(), description="Font files.")
    tone: list[Text] = Field([], description="Words that suit the brand; lines that contain one come first.")
    banned_words: list[Text] = Field([], description="Words that no ad contains, in any case.")
    disclaimers: list[Disclaimer] = Field([], description="Texts that ads of some categories and sizes must carry.")
    calls_to_action: list[Label] = Field(
        ["Shop now", "See more", "Discover"], min_length=1, description="Texts of buttons; each ad has one."
    )

    def find_disclaimers(self, category: str | None, placement: str) -> Iterator[str]:
        """Yield the texts that an ad must carry."""
        return (each.text for each in self.disclaimers if each.applies(category, placement))


def load_brand_kit(path: Path) -> BrandKit:
    """Read brand.yaml. Raises ConfigError."""
    return load_file(path, BrandKit, "`adloom init` writes one, ADLOOM_BRAND names another")
