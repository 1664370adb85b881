"""A brand, pictures and ads for tests."""

from dataclasses import replace
from typing import Any

import numpy as np

from adloom.ads.artwork import Treatment
from adloom.ads.brand import Brand
from adloom.ads.composition import AdContent, Composition, Design, SchemeName, compose
from adloom.ads.lint import Drawing, check_ad
from adloom.ads.placements import PLACEMENTS
from adloom.ads.rendering import render_svg
from adloom.ads.svg import write_svg
from adloom.ads.typefaces import find_default_typefaces
from adloom.arrays import UInt8Array
from adloom.config.brand import BrandKit

BRAND = Brand(BrandKit(name="Northfold"), find_default_typefaces())
HEADLINE = "Made to be worn every day"


def with_kit(**changes: Any) -> Brand:
    """Return the brand with other values in its kit."""
    return replace(BRAND, kit=BrandKit.model_validate(BRAND.kit.model_dump() | changes))


def draw_bag(edge: int = 28) -> UInt8Array:
    """Return a light bag with a handle on black (edge, edge, 3)."""
    pixels = np.zeros((edge, edge, 3), np.uint8)
    part = edge // 7
    pixels[3 * part : 6 * part, part : 6 * part] = np.linspace(90, 230, 5 * part)[None, :, None]
    pixels[2 * part : 3 * part, 2 * part : 2 * part + 2] = pixels[2 * part : 3 * part, 5 * part - 2 : 5 * part] = 140
    pixels[2 * part - 1, 2 * part : 5 * part] = 140
    return pixels


def draw_photo(height: int = 240, width: int = 320) -> UInt8Array:
    """Return a photo of noise (height, width, 3)."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def compose_ad(
    size: str = "300x250",
    headline: str = HEADLINE,
    template: int = 0,
    scheme: SchemeName = "dark",
    treatment: Treatment = "print",
    brand: Brand = BRAND,
    **content: Any,
) -> Composition:
    """Return a composition of the bag, or of noise as a photo."""
    picture = draw_photo() if treatment == "photo" else draw_bag()
    details: dict[str, Any] = {
        "picture": picture,
        "headline": headline,
        "action": "Shop now",
        "category": "Bag",
    } | content
    return compose(AdContent(**details), PLACEMENTS[size], brand, Design(template, scheme, treatment))


def find_findings(ad: Composition, brand: Brand = BRAND, weight: int = 40_000) -> dict[str, str]:
    """Return the reasons of an ad's findings by rule."""
    fonts = brand.typefaces.paths
    graphics, texts = (render_svg(write_svg(ad, brand, part), fonts) for part in ("graphics", "texts"))
    findings = check_ad(ad, brand, Drawing(graphics, texts, weight))
    return {rule: "; ".join(f.reason for f in findings if f.rule == rule) for rule in {f.rule for f in findings}}
