"""Facts about tunes in ABC notation."""

import numpy as np
import pandas as pd

from adloom.data import splits
from adloom.music import abc_notation
from adloom.music.runs import find_family
from adloom.music.tune import TuneError
from adloom.music.vocabulary import transpose


def read_facts(notation: pd.Series) -> pd.DataFrame:
    """
    Return key, metre, split, content hash and the reason why a tune is invalid, else "".

    Versions of a tune probably share a split. Equal melodies in two keys have the same content.
    """
    facts = pd.DataFrame(
        [_read_tune(text) for text in notation.fillna("")],
        notation.index,
        ["key", "metre", "family", "content", "reason"],
    )
    split = splits.split_by_hash(splits.hash_content(str(family).encode()) for family in facts.pop("family"))
    return facts.astype({"key": "str", "metre": "str", "content": np.uint64, "reason": "str"}).assign(split=split)


def _read_tune(notation: str) -> tuple[str | None, str | None, int, int, str]:
    try:
        tune = abc_notation.parse_abc(notation)
    except TuneError as error:
        return None, None, 0, 0, f"notation: {error}"
    first = next(note.pitch for note in tune.notes if note.pitch is not None)
    notes = transpose(tune.notes, -first)
    content = splits.hash_content(repr([tuple(note) for note in notes]).encode())
    return str(tune.key or "none"), str(tune.metre or "none"), find_family(notes), content, ""
