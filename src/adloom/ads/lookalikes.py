"""
Find words in a text however their letters are written: full-width, of another script, or replaced by digits.

The table is Unicode's (UTS #39, "Confusable Detection"). Letters with accents, letters with gaps between them, and two
letters that look like one are other letters here.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from adloom.copywriting.line_constraint import match_words

IGNORED = frozenset({"Cf", "Mn", "Me"})  # invisible characters, and marks around letters
STROKES = str.maketrans("i1|0", "lllo")  # alike in many fonts; folded in both the words and the text
SUBSTITUTES = str.maketrans("345789@$", "eastbgas")
MIXED_WORD = re.compile(r"(?=[\w@$]*[^\W\d_])[\w@$]*[\d@$][\w@$]*")  # letters, and digits or signs in place of letters


def find_word(words: Sequence[str], text: str) -> str | None:
    """Return the first of the words or phrases in a text, as the text writes it."""
    visible = _drop_invisible(text)
    pattern = match_words([form for word in words for form in _fold(_drop_invisible(word))])
    found = next(filter(None, map(pattern.search, _fold(visible))), None)
    return visible[slice(*found.span())] if found else None


def _drop_invisible(text: str) -> str:
    """Return the text in compatibility form, in which full-width letters are plain, without invisible characters."""
    normal = unicodedata.normalize("NFKC", text)
    return "".join(character for character in normal if unicodedata.category(character) not in IGNORED)


def _fold(text: str) -> tuple[str, str]:
    """Return the text in small Latin letters that it looks like, and with digits as letters; each in its place."""
    small = "".join(map(_fold_character, text))
    return small.translate(STROKES), MIXED_WORD.sub(lambda word: word[0].translate(SUBSTITUTES), small).translate(
        STROKES
    )


@cache
def _fold_character(character: str) -> str:
    """Return the small ASCII letter that a character looks like, else the character itself."""
    if not character.isascii():
        for variant in (character, character.lower(), character.upper()):
            if alike := _load_table().get(variant):
                return alike
    small = character.lower()
    return small if len(small) == 1 else character


@cache
def _load_table() -> dict[str, str]:
    """Return the ASCII characters that others look like."""
    from confusable_homoglyphs.confusables import confusables_data

    return {
        character: alike["c"].lower()
        for character, group in confusables_data.items()
        for alike in group
        if len(character) == 1 and not character.isascii() and len(alike["c"]) == 1 and alike["c"].isascii()
    }
