"""The evaluation of a composer."""

import numpy as np
import pytest
from tests.support.toy_tunes import NOTES, Uniform, tune_rows

from adloom.config.params import Evaluate
from adloom.errors import DataError
from adloom.evaluation.metric import Figure
from adloom.music.evaluation import evaluate
from adloom.music.vocabulary import NoteVocabulary

PARAMS = Evaluate(bootstraps=20, tunes=5)
HISTORY = {"loss": [[1, 3.0]]}


def test_a_model_without_preference_needs_the_logarithm_of_its_vocabulary() -> None:
    result = evaluate(Uniform(), NOTES, tune_rows(), PARAMS, HISTORY)
    metrics = {name: metric.value for name, metric in result.metrics.items()}
    assert metrics["bits_per_note"] == pytest.approx(np.log2(NOTES.size))
    assert metrics["kneser_ney_bits_per_note"] < metrics["bits_per_note"]  # it has seen the eight notes
    assert metrics["note_bits_ratio"] == pytest.approx(metrics["bits_per_note"] / metrics["kneser_ney_bits_per_note"])
    assert metrics["copied_melodies"] == 0
    titles = [section.title for section in result.sections if isinstance(section, Figure)]
    assert titles == ["Melody", "Learning curves"]


def test_notes_that_fill_no_bar_leave_the_melody_out() -> None:
    notes = NoteVocabulary(("1/32 major", "2/4 major"), NOTES.notes)
    result = evaluate(Uniform(), notes, tune_rows(), PARAMS, HISTORY)
    assert "copied_melodies" not in result.metrics
    assert "fill no such bar" in str(result.sections)


def test_no_test_tunes_are_an_error() -> None:
    rows = tune_rows()
    with pytest.raises(DataError, match="tunes: 0 tunes in split test"):
        evaluate(Uniform(), NOTES, rows[rows["split"] == "train"], PARAMS, HISTORY)
