"""
Evaluate the composer: bits per note against Kneser-Ney, and copying.

A note is a pitch and a duration; the end of a tune counts as a note. Both models spread probability 1 over the same
notes, so their numbers compare.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from adloom.arrays import UInt64Array
from adloom.config.params import Evaluate
from adloom.errors import DataError, UserError
from adloom.evaluation import figures, statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Figure, History, Lines, Metric, Sample, Section, Table
from adloom.music.abc_notation import parse_abc
from adloom.music.composing import MelodyRequest, compose, draw_melodies
from adloom.music.figures import draw_piano_roll
from adloom.music.runs import collect_runs, has_known_run
from adloom.music.tune import Key, Tune
from adloom.music.vocabulary import NoteVocabulary
from adloom.sequences import kneser_ney
from adloom.sequences.decoding import S, SequenceModel
from adloom.sequences.scoring import sequence_bits

ORDER = 5  # of the n-gram model
BARS = 16
EXAMPLE = MelodyRequest(BARS, 1, Key(2, "major"))  # shown in the report
CURVES = "The loss in bits per note; the model is that of the epoch with the lowest on the validation split."


def evaluate(
    model: SequenceModel[S], notes: NoteVocabulary, rows: pd.DataFrame, params: Evaluate, history: History
) -> Evaluation:
    """Measure a composer on `rows` with columns notation and split. Raises DataError without test tunes."""
    train, test = (
        [parse_abc(text) for text in rows.loc[rows["split"] == name, "notation"]] for name in ("train", "test")
    )
    if not test:
        raise DataError("tunes: 0 tunes in split test, expected at least 1; add tunes to ingest.tunes or leave it out")
    known = collect_runs([tune.notes for tune in train])
    samples = score_tunes(model, notes, train, test, ORDER)
    samples |= _measure_copies(model, notes, known, params)
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    sections: list[Section] = [
        _tabulate_comparison(metrics),
        *_draw_example(model, notes, known),
        Figure("Learning curves", CURVES, partial(figures.draw_learning_curves, history)),
    ]
    return Evaluation(metrics, samples, sections)


def score_tunes(
    model: SequenceModel[S], notes: NoteVocabulary, train: Sequence[Tune], test: Sequence[Tune], order: int
) -> dict[str, Sample]:
    """Return the bits of the test tunes under the model and under Kneser-Ney of an order, fitted to `train`."""
    tokens = notes.encode(test)
    lengths = np.array([len(sequence) - 1 for sequence in tokens], np.float64)
    baseline = kneser_ney.fit([sequence[1:-1] for sequence in notes.encode(train)], order, notes.size)
    ours, theirs = sequence_bits(model, tokens), baseline.line_bits([sequence[1:-1] for sequence in tokens])
    return {
        "bits_per_note": Sample((ours, lengths), statistics.ratio, "bits"),
        "kneser_ney_bits_per_note": Sample((theirs, lengths), statistics.ratio, "bits"),
        "note_bits_ratio": Sample((ours, theirs), statistics.ratio, "ratio"),
    }


def _measure_copies(
    model: SequenceModel[S], notes: NoteVocabulary, known: UInt64Array, params: Evaluate
) -> dict[str, Sample]:
    """Return the sample of melodies that repeat a run; none when the notes fill no bar."""
    try:
        melodies = draw_melodies(model, notes, replace(EXAMPLE, seed=params.seed), batch=params.tunes)
    except UserError:
        return {}
    copied = np.array([has_known_run(melody.notes, known) for melody in melodies])
    return {"copied_melodies": Sample((copied,), statistics.mean, "share")}


def _tabulate_comparison(metrics: Mapping[str, Metric]) -> Table:
    models = {"composer": "bits_per_note", f"Kneser-Ney, {ORDER} notes": "kneser_ney_bits_per_note"}
    rows: list[list[str | float | int]] = [
        [model, f"{metrics[name].value:.3f} [{metrics[name].low:.3f}, {metrics[name].high:.3f}]"]
        for model, name in models.items()
    ]
    caption = "Both learned from the same tunes and are scored on the same notes of the test split, ends included."
    return Table("Against Kneser-Ney", caption, ["model", "bits per note"], rows)


def _draw_example(model: SequenceModel[S], notes: NoteVocabulary, known: UInt64Array) -> list[Section]:
    try:
        melody = compose(model, notes, EXAMPLE, known)
    except UserError as error:
        return [Lines("Melody", "No melody was composed.", [str(error)])]
    caption = f"{BARS} bars in D, seed {EXAMPLE.seed}. `adloom compose` writes it as MIDI."
    return [Figure("Melody", caption, partial(draw_piano_roll, melody))]
