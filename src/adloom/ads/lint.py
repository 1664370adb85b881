"""Rules that every ad keeps. An ad with a finding is not exported."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from adloom.ads.brand import Brand
from adloom.ads.colours import MIN_CONTRAST, measure_contrast
from adloom.ads.composition import Composition, TextBlock
from adloom.ads.lookalikes import find_word
from adloom.ads.placements import KB, Box
from adloom.arrays import BoolArray, UInt8Array
from adloom.copywriting.lines import CLAIMS

INK = 96  # opacity of 255 from which a pixel counts as text; fainter ones are its smooth edge
OVERSHOOT = 0.28  # of a text's size, by which accents and swashes may leave its box
SMOOTH_EDGE = 1.0  # pixels


@dataclass(frozen=True)
class Finding:
    """A rule that an ad breaks, and how."""

    rule: str
    reason: str


@dataclass(frozen=True)
class Drawing:
    """An ad as it is drawn: pixels (height, width, 4) without texts, of texts alone, and the bytes of its file."""

    graphics: UInt8Array
    texts: UInt8Array
    weight: int

    def find_ink(self, block: TextBlock) -> BoolArray:
        """Return which pixels of the ad belong to a text (height, width)."""
        box, reach = block.box, OVERSHOOT * block.text.size
        inside = np.zeros(self.texts.shape[:2], np.bool_)
        top, left = max(int(box.y - reach), 0), max(int(box.x - reach), 0)
        inside[top : int(box.bottom + reach) + 1, left : int(box.right + reach) + 1] = True
        return inside & (self.texts[:, :, 3] >= INK)


def check_ad(ad: Composition, brand: Brand, drawing: Drawing) -> list[Finding]:
    """Return what is wrong with an ad."""
    return [Finding(name, reason) for name, rule in RULES.items() for reason in rule(ad, brand, drawing)]


def _check_fit(ad: Composition, brand: Brand, drawing: Drawing) -> Iterator[str]:
    """Yield texts that are too long for their box, and ink outside of every box."""
    for block in ad.texts:
        if not block.text.fits:
            yield f"{block.role}: {' '.join(block.text.lines)[:60]!r} does not fit; shorten it"
    inked = drawing.texts[:, :, 3] >= INK
    known = np.zeros(inked.shape, np.bool_)
    for block in ad.texts:
        ink = drawing.find_ink(block)
        known |= ink
        if not ink.any():
            yield f"{block.role}: nothing of it is drawn"
    if (cut := int((inked & ~known).sum())) > 0:
        yield f"{cut} pixels of text are outside of their box"
    for first, second in combinations(ad.texts, 2):
        if first.box.overlaps(second.box):
            yield f"{first.role} and {second.role} overlap"


def _check_contrast(ad: Composition, brand: Brand, drawing: Drawing) -> Iterator[str]:
    """Yield texts with a pixel that the ground behind it makes hard to read."""
    for block in ad.texts:
        behind = drawing.graphics[drawing.find_ink(block)][:, :3]
        worst = float(measure_contrast(block.colour, behind).min()) if len(behind) else MIN_CONTRAST
        if worst < MIN_CONTRAST:
            yield f"{block.role}: contrast {worst:.2f}:1, expected at least {MIN_CONTRAST}:1; change the palette"


def _check_safe_area(ad: Composition, brand: Brand, drawing: Drawing) -> Iterator[str]:
    """Yield texts, logo and button that are too close to an edge."""
    safe = ad.placement.safe_area
    for block in ad.texts:
        if not safe.contains(_bound(drawing.find_ink(block), block.box), SMOOTH_EDGE):
            yield f"{block.role}: closer than {ad.placement.margin:g} pixels to an edge, or below an app's controls"
    for name, box in ad.solids.items():
        if not safe.contains(box, SMOOTH_EDGE):
            yield f"{name}: closer than {ad.placement.margin:g} pixels to an edge, or below an app's controls"


def _bound(ink: BoolArray, default: Box) -> Box:
    """Return the box around pixels, or another if there are none."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return default
    x, y = int(columns[0]), int(rows[0])
    return Box(x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)


def _check_text_share(ad: Composition, brand: Brand, drawing: Drawing) -> Iterator[str]:
    area = sum(block.text.width * block.text.height for block in ad.texts)
    share = area / (ad.placement.width * ad.placement.height)
    if share > ad.placement.max_text_share:
        yield f"texts take {share:.0%} of the ad, expected at most {ad.placement.max_text_share:.0%}; shorten them"


def _check_weight(ad: Composition, brand: Brand, drawing: Drawing) -> Iterator[str]:
    if drawing.weight > ad.placement.max_bytes:
        yield f"{drawing.weight / KB:.0f} kB, expected at most {ad.placement.max_bytes // KB} kB; use a calmer picture"


def _check_disclaimer(ad: Composition, brand: Brand, drawing: Drawing) -> Iterator[str]:
    shown = " ".join(" ".join(block.text.lines) for block in ad.texts if block.role == "disclaimer")
    for text in brand.kit.find_disclaimers(ad.content.category, ad.placement.name):
        if " ".join(text.split()) not in shown:
            yield f"{text[:60]!r} is required and missing"


def _check_words(ad: Composition, brand: Brand, drawing: Drawing) -> Iterator[str]:
    """Yield banned words, and words of claims that need evidence."""
    for role, text in (("headline", ad.content.headline), ("action", ad.content.action)):
        if word := find_word((*brand.kit.banned_words, *CLAIMS), text):
            yield f"{role}: {word!r} is a banned word or a claim that needs evidence"


def _check_length(ad: Composition, brand: Brand, drawing: Drawing) -> Iterator[str]:
    length, most = len(ad.content.headline), ad.placement.max_characters
    if length > most:
        yield f"headline: {length} characters, expected at most {most} in {ad.placement.name}"


def _check_glyphs(ad: Composition, brand: Brand, drawing: Drawing) -> Iterator[str]:
    for block in ad.texts:
        if missing := block.text.face.find_missing("".join(block.text.lines)):
            names = ", ".join(f"{character!r}" for character in missing[:5])
            yield f"{block.role}: {block.text.face.family} cannot draw {names}; name another font in brand.yaml"


Rule = Callable[[Composition, Brand, Drawing], Iterator[str]]
RULES: dict[str, Rule] = {
    "fit": _check_fit,
    "contrast": _check_contrast,
    "safe area": _check_safe_area,
    "text share": _check_text_share,
    "file weight": _check_weight,
    "disclaimer": _check_disclaimer,
    "banned words": _check_words,
    "copy length": _check_length,
    "missing glyphs": _check_glyphs,
}
