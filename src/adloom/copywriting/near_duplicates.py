"""
Find lines that nearly repeat others: sets of letter trigrams with a Jaccard similarity of at least SIMILAR.

Two such sets share one of the rarest trigrams of each, so few pairs are compared (Chaudhuri, Ganti & Kaushik 2006).
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from adloom.arrays import BoolArray

SIMILAR = 0.8
GRAM = 3  # characters


def find_near_duplicates(lines: Sequence[str], others: Sequence[str]) -> BoolArray:
    """Return whether each line (lines,) nearly repeats one of the others."""
    sets = [_split_grams(line) for line in lines]
    others_sets = [_split_grams(line) for line in others]
    frequency = Counter(gram for grams in others_sets for gram in grams)
    index = defaultdict(list)
    for number, grams in enumerate(others_sets):
        for gram in _select_rarest(grams, frequency):
            index[gram].append(number)
    return np.array(
        [
            any(
                len(grams & others_sets[i]) >= SIMILAR * len(grams | others_sets[i])
                for i in {i for gram in _select_rarest(grams, frequency) for i in index.get(gram, ())}
            )
            for grams in sets
        ],
        np.bool_,
    )


def _split_grams(line: str) -> frozenset[str]:
    """Return the trigrams of a line's letters and digits; of other lines, of all characters."""
    text = " ".join("".join(c if c.isalnum() else " " for c in line.casefold()).split()) or line
    padded = f"\n{text}\n"
    return frozenset(padded[i : i + GRAM] for i in range(max(len(padded) - GRAM + 1, 1)))


def _select_rarest(grams: frozenset[str], frequency: Counter[str]) -> list[str]:
    """Return as many of the rarest as two similar sets cannot all differ in."""
    count = len(grams) - int(np.ceil(SIMILAR * len(grams))) + 1
    return sorted(grams, key=lambda gram: (frequency[gram], gram))[:count]
