"""A composer that prefers no note, and its notes."""

import numpy as np
import pandas as pd

from adloom.arrays import Float32Array, Int64Array
from adloom.music.tune import Note
from adloom.music.vocabulary import NoteVocabulary

SCALE = [60, 62, 64, 65, 67, 69, 71, 72]
NOTES = NoteVocabulary(
    ("2/4 major", "6/8 major"),
    (*(Note(pitch, ticks) for pitch in SCALE for ticks in (120, 160, 240, 360, 480)), Note(None, 240)),
)


class Uniform:
    """A model without preference."""

    def start(self, batch: int) -> int:
        """Return the state."""
        return batch

    def __call__(self, token: Int64Array, state: int) -> tuple[Float32Array, int]:
        """Return equal logits."""
        return np.zeros((*token.shape, NOTES.size), np.float32), state


def tune_rows(count: int = 60) -> pd.DataFrame:
    """Return prepared tunes: scales up and down, of which each tenth is for validation, each other tenth for test."""
    rng = np.random.default_rng(0)
    bodies = ["|".join("".join(rng.choice(list("DEFGABcd"), 4)) for _ in range(8)) for _ in range(count)]
    return pd.DataFrame(
        {
            "tune_id": [str(i) for i in range(count)],
            "notation": [f"M:2/4\nL:1/8\nK:D\n{body}|\n" for body in bodies],
            "split": [{1: "validation", 2: "test"}.get(i % 10, "train") for i in range(count)],
        }
    )
