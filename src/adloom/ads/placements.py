"""The sizes of ads, with what each needs: margins, sizes of texts, limits."""

from dataclasses import dataclass
from typing import Literal

from adloom.errors import ConfigError

Family = Literal["rectangle", "leaderboard", "billboard", "skyscraper", "square", "story"]
KB = 1000  # bytes


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its bottom edge."""
        return self.y + self.height

    def inset(self, left: float, top: float, right: float, bottom: float) -> "Box":
        """Return the box without these margins, at least of size 0."""
        width, height = self.width - left - right, self.height - top - bottom
        return Box(self.x + left, self.y + top, max(width, 0), max(height, 0))

    def contains(self, other: "Box", tolerance: float = 0.0) -> bool:
        """Return whether another box lies inside."""
        return (
            other.x >= self.x - tolerance
            and other.y >= self.y - tolerance
            and other.right <= self.right + tolerance
            and other.bottom <= self.bottom + tolerance
        )

    def overlaps(self, other: "Box") -> bool:
        """Return whether the boxes share an area."""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom


@dataclass(frozen=True)
class SizeRange:
    """The largest and the smallest size of a text in pixels, and how many lines it may have."""

    largest: float
    smallest: float
    lines: int


@dataclass(frozen=True)
class Placement:
    """An ad's size and its limits."""

    width: int
    height: int
    family: Family
    margin: float  # safe area: no text or logo is closer to an edge
    headline: SizeRange
    action: SizeRange
    disclaimer: SizeRange
    logo: float  # height
    max_characters: int  # of a headline
    max_text_share: float  # of the ad's area, that of the texts' boxes
    safe_top: float = 0.0  # covered by the controls of an app
    safe_bottom: float = 0.0
    max_bytes: int = 150 * KB  # of the file, as IAB recommends

    @property
    def name(self) -> str:
        """Its size, such as 300x250."""
        return f"{self.width}x{self.height}"

    @property
    def canvas(self) -> Box:
        """The whole ad."""
        return Box(0, 0, self.width, self.height)

    @property
    def safe_area(self) -> Box:
        """The part of the ad that texts and logo may use."""
        edge = self.margin
        return self.canvas.inset(edge, max(edge, self.safe_top), edge, max(edge, self.safe_bottom))


IAB = (  # IAB New Ad Portfolio, fixed sizes; the file weight is that of its initial load
    Placement(
        300, 250, "rectangle", 16, SizeRange(30, 15, 5), SizeRange(14, 11, 1), SizeRange(9.5, 8.5, 3), 20, 60, 0.40
    ),
    Placement(
        728, 90, "leaderboard", 10, SizeRange(30, 15, 2), SizeRange(15, 12, 1), SizeRange(10, 9, 1), 22, 60, 0.40
    ),
    Placement(
        160, 600, "skyscraper", 12, SizeRange(30, 16, 6), SizeRange(15, 11, 1), SizeRange(9.5, 8.5, 5), 22, 60, 0.40
    ),
    Placement(
        320, 50, "leaderboard", 5, SizeRange(17, 11, 2), SizeRange(11.5, 10, 1), SizeRange(8.5, 8, 1), 9.5, 40, 0.45
    ),
    Placement(
        970, 250, "billboard", 28, SizeRange(54, 24, 4), SizeRange(20, 15, 1), SizeRange(11, 10, 2), 32, 60, 0.40
    ),
    Placement(
        300, 600, "skyscraper", 22, SizeRange(44, 22, 5), SizeRange(19, 14, 1), SizeRange(11, 9.5, 4), 30, 60, 0.40
    ),
)
SOCIAL_BYTES = 600 * KB  # the platforms take several MB and compress again
SOCIAL = (
    Placement(
        1080, 1080, "square", 64, SizeRange(112, 52, 4), SizeRange(40, 30, 1), SizeRange(24, 20, 3), 64, 60, 0.40,
        max_bytes=SOCIAL_BYTES,
    ),
    Placement(
        1080, 1920, "story", 72, SizeRange(132, 60, 5), SizeRange(46, 34, 1), SizeRange(26, 22, 3), 72, 60, 0.35,
        safe_top=250, safe_bottom=340, max_bytes=SOCIAL_BYTES,
    ),
    Placement(
        1200, 628, "rectangle", 52, SizeRange(84, 40, 4), SizeRange(32, 24, 1), SizeRange(19, 16, 3), 50, 60, 0.40,
        max_bytes=SOCIAL_BYTES,
    ),
)  # fmt: skip
PLACEMENTS = {placement.name: placement for placement in (*IAB, *SOCIAL)}
GROUPS = {"iab": IAB, "social": SOCIAL, "all": (*IAB, *SOCIAL)}


def parse_sizes(text: str) -> list[Placement]:
    """Return the ad sizes of a text such as `iab` or `300x250,1080x1080`. Raises ConfigError."""
    found: dict[str, Placement] = {}
    for name in text.lower().split(","):
        group = GROUPS.get(name.strip()) or tuple(filter(None, [PLACEMENTS.get(name.strip())]))
        if not group:
            expected = ", ".join([*GROUPS, *PLACEMENTS])
            raise ConfigError(f"sizes: {name.strip()[:40]!r} is no ad size; expected one or more of {expected}")
        found |= {placement.name: placement for placement in group}
    return list(found.values())
