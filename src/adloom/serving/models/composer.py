"""Open the composer."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adloom.arrays import UInt64Array
from adloom.music import vocabulary
from adloom.music.vocabulary import NoteVocabulary
from adloom.onnx_models.runtime import Composer
from adloom.serving.models.card import INFERENCE_TIMEOUT, ModelCard, check_output


@dataclass(frozen=True)
class MelodyWriter:
    """The composer, its notes and the fingerprints of training runs."""

    write: Composer
    notes: NoteVocabulary
    known: UInt64Array  # (runs,)


def open_composer(folder: Path, card: ModelCard, threads: int) -> MelodyWriter:
    """Open the composer and predict one note."""
    notes = vocabulary.from_json((folder / "vocabulary.json").read_text(encoding="utf-8"))
    composer = Composer(folder, threads, INFERENCE_TIMEOUT)
    logits, _ = composer(np.array([[notes.begin]], np.int64), composer.start(1))
    check_output(folder, "logits", logits, (1, 1, notes.size))
    with np.load(folder / "known.npz", allow_pickle=False) as arrays:
        return MelodyWriter(composer, notes, arrays["runs"])
