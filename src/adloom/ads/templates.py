"""Templates: where the picture, the texts and the logo of an ad go, for each family of sizes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from adloom.ads.placements import Box, Family, Placement

TALL_PANEL, WIDE_PANEL = 0.47, 0.44  # shares of an ad that a picture takes
STRIP = 2.5  # from this proportion on an ad is a strip
ROWS = {"leaderboard", "billboard"}  # families with the button at the side of the headline
ROUND = 0.6  # radius of a framed picture, of the margin


@dataclass(frozen=True)
class Template:
    """The areas of an ad."""

    name: str
    panel: Box  # of the picture's ground
    column: Box  # of the texts
    flow: Literal["column", "row"] = "column"
    align: Literal["left", "center"] = "left"
    logo: Box | None = None  # of the logo; None: in the column
    radius: float = 0.0  # of the panel's corners
    covers: bool = False  # whether the panel is the whole ad, with a scrim below the texts

    def mirror(self, width: float, name: str) -> "Template":
        """Return the template with left and right exchanged."""
        panel, column = (replace(box, x=width - box.right) for box in (self.panel, self.column))
        return replace(self, name=name, panel=panel, column=column)


def _left(placement: Placement) -> Template:
    """Panel at the left edge, texts at the right."""
    safe, height = placement.safe_area, placement.height
    share = 1.5 * height if placement.family == "leaderboard" else 1.35 * height
    panel = Box(0, 0, round(min(share, WIDE_PANEL * placement.width)), height)
    start = panel.right + placement.margin
    column = Box(start, safe.y, safe.right - start, safe.height)
    return Template("left", panel, column, "row" if placement.family in ROWS else "column")


def _right(placement: Placement) -> Template:
    return _left(placement).mirror(placement.width, "right")


def _framed(placement: Placement) -> Template:
    """Framed picture at the right, with the margin around it."""
    safe, left = placement.safe_area, _left(placement)
    width = min(left.panel.width, safe.height * 1.4)
    panel = Box(round(safe.right - width), safe.y, round(width), safe.height)
    column = Box(safe.x, safe.y, panel.x - placement.margin - safe.x, safe.height)
    return Template("framed", panel, column, left.flow, radius=placement.margin * ROUND)


def _top(placement: Placement) -> Template:
    """Panel at the top, texts below."""
    safe = placement.safe_area
    share = 0.46 if placement.family in {"square", "story"} else TALL_PANEL
    panel = Box(0, 0, placement.width, round(placement.height * share))
    start = panel.bottom + placement.margin
    return Template("top", panel, Box(safe.x, start, safe.width, safe.bottom - start))


def _middle(placement: Placement) -> Template:
    """Logo at the top, a framed picture in the middle, texts below; all centred."""
    safe = placement.safe_area
    logo = Box(safe.x, safe.y, safe.width, placement.logo)
    top = logo.bottom + placement.margin
    height = min(safe.width * 1.5, 0.46 * placement.height, 0.48 * safe.height)
    panel = Box(safe.x, top, safe.width, round(height))
    start = panel.bottom + placement.margin
    column = Box(safe.x, start, safe.width, safe.bottom - start)
    return Template("middle", panel, column, align="center", logo=logo, radius=placement.margin * ROUND)


def _cover(placement: Placement) -> Template:
    """Picture over the whole ad, texts on a scrim: at the left of wide ads, at the bottom of others."""
    safe = placement.safe_area
    if placement.width >= placement.height:
        share = 0.5 if placement.width / placement.height < STRIP else 0.46
        return Template("cover", placement.canvas, replace(safe, width=safe.width * share), covers=True)
    height = safe.height * (0.5 if placement.family == "story" else 0.48)
    return Template("cover", placement.canvas, replace(safe, y=safe.bottom - height, height=height), covers=True)


TEMPLATES: Mapping[Family, Sequence[Callable[[Placement], Template]]] = {
    "rectangle": (_left, _framed, _cover),
    "leaderboard": (_left, _right),
    "billboard": (_left, _framed, _cover),
    "skyscraper": (_top, _middle, _cover),
    "square": (_top, _left, _cover),
    "story": (_middle, _top, _cover),
}


def choose_template(placement: Placement, number: int) -> Template:
    """Return a template of the placement's family; numbers wrap around."""
    family = TEMPLATES[placement.family]
    return family[number % len(family)](placement)
