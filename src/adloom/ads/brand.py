"""A brand ready for use: its kit, its logo and its fonts."""

from dataclasses import dataclass
from pathlib import Path

from adloom.ads.logo import Logo, read_logo
from adloom.ads.typefaces import Typefaces, find_default_typefaces, open_typeface
from adloom.config.brand import BrandKit, load_brand_kit
from adloom.errors import ConfigError


@dataclass(frozen=True)
class Brand:
    """The kit, fonts and logo of a brand."""

    kit: BrandKit
    typefaces: Typefaces
    logo: Logo | None = None


def load_brand(path: Path) -> Brand:
    """Read brand.yaml and the files that it names. Raises ConfigError."""
    kit, default = load_brand_kit(path), find_default_typefaces()
    headline, text = kit.typefaces.headline, kit.typefaces.text
    return Brand(
        kit,
        Typefaces(
            open_typeface(path.parent / headline) if headline else default.headline,
            open_typeface(path.parent / text) if text else default.text,
        ),
        _load_logo(path, kit.logo) if kit.logo else None,
    )


def _load_logo(brand: Path, name: str) -> Logo:
    try:
        return read_logo((brand.parent / name).read_bytes())
    except OSError as error:
        raise ConfigError(f"{brand}: logo: {name} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ConfigError(f"{brand}: logo: {name}: {error}") from None
