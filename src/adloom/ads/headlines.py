"""Words that keep a written line from being the headline of an ad: those of complaints, and of other products."""

import re
from collections.abc import Iterable, Sequence

from adloom.copywriting.line_constraint import match_words

# Reviews, from which a copywriter often learns, also complain.
COMPLAINTS = (
    "not", "but", "too", "unsure", "sadly", "unfortunately", "however", "almost", "except", "although", "though",
    "wish", "wished", "wanted", "hoping", "hoped", "could", "would", "should", "might", "isn't", "wasn't", "don't",
    "didn't", "doesn't", "can't", "couldn't", "won't", "disappointed", "disappointing", "disappointment", "flimsy",
    "cheap", "cheaply", "poor", "poorly", "bad", "awful", "terrible", "weird", "odd", "strange", "itchy", "scratchy",
    "unflattering", "return", "returned", "returning", "runs", "ran", "missing", "off", "huge", "tight", "shrunk",
    "problem", "issue", "issues", "wrong", "boxy", "billowy", "frumpy", "shapeless",
)  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


def find_same_category(category: str | None, known: Sequence[str]) -> str | None:
    """Return the known category of this name, else one that shares a word with it, such as Dresses with Dress."""
    if category is None or category in known:
        return category
    words = split_name(category)
    return next((other for other in known if words & split_name(other)), None)


def drop_other_products(lines: Sequence[str], category: str | None, categories: Iterable[str]) -> list[str]:
    """Return the lines that name no category but this one, or all lines if each names one."""
    own = split_name(category or "")
    others = sorted(set[str]().union(*map(split_name, categories)) - own)
    if not category or not others:
        return list(lines)
    named = match_words([form for word in others for form in (word, f"{word}s", f"{word}es")])
    return [line for line in lines if not named.search(line)] or list(lines)


def split_name(category: str) -> frozenset[str]:
    """Return the words of a category's name, in the singular."""
    return frozenset(re.sub(r"(?<=ss|sh|ch)es$|(?<=[^s])s$", "", word) for word in _WORD.findall(category.lower()))
