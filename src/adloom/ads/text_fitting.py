"""Break texts into lines, and shrink them until they fit."""

import re
import unicodedata
from dataclasses import dataclass

from adloom.ads.placements import SizeRange
from adloom.ads.typefaces import CAP_HEIGHT, DESCENT, Typeface

LEADING = 1.14  # from baseline to baseline, of a text's size
SHRINK = 0.96  # of the size, from one attempt to the next
BALANCE_STEPS = 12  # halvings of the width when lines are balanced
_WORD = re.compile(r"\s*\S+")


@dataclass(frozen=True)
class FittedText:
    """Lines of a text at a size."""

    lines: tuple[str, ...]
    face: Typeface
    size: float
    fits: bool  # False: the lines are too wide, too many or too high even at the smallest size

    @property
    def width(self) -> float:
        """The width of the widest line."""
        return max(self.face.measure(line, self.size) for line in self.lines)

    @property
    def height(self) -> float:
        """From the top of the first line's capitals to the last line's descenders."""
        return self.size * ((len(self.lines) - 1) * LEADING + CAP_HEIGHT + DESCENT)


def fit_text(text: str, face: Typeface, width: float, height: float, sizes: SizeRange) -> FittedText:
    """Return the text at the largest size that fits into a box, in lines of similar width."""
    size = sizes.largest
    while True:
        fitted = FittedText(_wrap_or_none(text, face, size, width), face, round(size, 2), fits=True)
        if fitted.lines and len(fitted.lines) <= sizes.lines and fitted.height <= height:
            return FittedText(tuple(_balance(text, face, fitted.size, width)), face, fitted.size, fits=True)
        if size <= sizes.smallest:
            return FittedText(tuple(wrap(text, face, size, width)), face, size, fits=False)
        size = max(size * SHRINK, sizes.smallest)


def wrap(text: str, face: Typeface, size: float, width: float) -> list[str]:
    """Return the lines of a text, broken at spaces and around East Asian characters; a longer word overflows."""
    lines = [""]
    for piece in _split_pieces(text):
        longer = lines[-1] + piece
        if lines[-1] and face.measure(longer, size) > width:
            lines.append(piece.strip())
        else:
            lines[-1] = longer.lstrip()
    return lines


def _wrap_or_none(text: str, face: Typeface, size: float, width: float) -> tuple[str, ...]:
    """Return the lines, or none if a word is wider than the box."""
    lines = wrap(text, face, size, width)
    return tuple(lines) if all(face.measure(line, size) <= width for line in lines) else ()


def _split_pieces(text: str) -> list[str]:
    """Return the parts between which a line may break, with the spaces before each."""
    pieces: list[str] = []
    for word in _WORD.findall(text):
        start = 0
        for i in range(1, len(word)):
            if _is_wide(word[i]) or (_is_wide(word[i - 1]) and not unicodedata.combining(word[i])):
                pieces.append(word[start:i])
                start = i
        pieces.append(word[start:])
    return pieces


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in {"W", "F"} and character.isalpha()


def _balance(text: str, face: Typeface, size: float, width: float) -> list[str]:
    """Return as many lines as the width needs, the widest as narrow as possible."""
    count = len(wrap(text, face, size, width))
    low, high = 0.0, width
    for _ in range(BALANCE_STEPS):
        middle = (low + high) / 2
        lines = _wrap_or_none(text, face, size, middle)
        low, high = (low, middle) if 0 < len(lines) <= count else (middle, high)
    return wrap(text, face, size, high)
