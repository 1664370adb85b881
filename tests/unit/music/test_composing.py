"""Melodies: whole bars by construction, a tonic at the end, no known run, equal seeds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.toy_tunes import NOTES, Uniform

from adloom.errors import UserError
from adloom.music.abc_notation import parse_key
from adloom.music.composing import BATCH, MelodyRequest, compose, draw_melodies
from adloom.music.runs import collect_runs, has_known_run
from adloom.music.tune import Key, Metre, Note
from adloom.music.vocabulary import NoteVocabulary

REQUEST = MelodyRequest(8, 1, Key(2, "major"), Metre(2, 4))


@settings(max_examples=25)
@given(
    st.integers(1, 12),
    st.integers(0, 99),
    st.sampled_from(["C", "D", "Em", "Ador", "Bb", "F#", "Gmix"]),
    st.sampled_from([Metre(2, 4), Metre(6, 8), Metre(3, 4), Metre(2, 2), Metre(9, 8), Metre(5, 8)]),
)
def test_every_bar_is_whole_and_the_last_note_is_the_tonic(bars: int, seed: int, name: str, metre: Metre) -> None:
    key = parse_key(name)
    assert key is not None
    tune = compose(Uniform(), NOTES, MelodyRequest(bars, seed, key, metre))
    assert [sum(note.ticks for note in bar) for bar in tune.bars] == [metre.ticks] * bars
    last = tune.notes[-1].pitch
    assert last is not None
    assert last % 12 == key.tonic
    scale = {(pitch + key.major) % 12 for pitch in (0, 2, 4, 5, 7, 9, 11)}
    assert {note.pitch % 12 for note in tune.notes if note.pitch is not None} <= scale


def test_triplets_return_to_the_beat() -> None:
    for tune in draw_melodies(Uniform(), NOTES, REQUEST, batch=20):
        for bar in tune.bars:
            starts = np.cumsum([0, *(note.ticks for note in bar)])
            straight = [note.ticks % 60 == 0 for note in bar]
            assert all(start % 60 == 0 for start, is_straight in zip(starts, straight, strict=False) if is_straight)


def test_the_seed_decides() -> None:
    first = compose(Uniform(), NOTES, REQUEST)
    assert first == compose(Uniform(), NOTES, REQUEST)
    assert first != compose(Uniform(), NOTES, replace(REQUEST, seed=2))
    assert compose(Uniform(), NOTES, replace(REQUEST, metre=None)).metre == Metre(2, 4)  # the most common


def test_a_known_run_is_never_repeated() -> None:
    drawn = draw_melodies(Uniform(), NOTES, REQUEST)
    known = collect_runs([drawn[0].notes])
    melody = compose(Uniform(), NOTES, REQUEST, known)
    assert has_known_run(drawn[0].notes, known)
    assert melody == drawn[1]
    rounds = [draw_melodies(Uniform(), NOTES, REQUEST, number=number) for number in range(8)]
    everything = collect_runs([tune.notes for drawn in rounds for tune in drawn])
    with pytest.raises(
        UserError, match=f"{8 * BATCH} melodies: each repeats 16 notes of a training tune; take another"
    ):
        compose(Uniform(), NOTES, REQUEST, everything)


def test_notes_that_fill_no_bar_are_an_error() -> None:
    with pytest.raises(UserError, match=r"metre 1/32: the model's notes fill no such bar; it knows 2/4 major"):
        compose(Uniform(), NOTES, replace(REQUEST, metre=Metre(1, 32)))
    without_tonic = NoteVocabulary(("2/4 major",), (Note(62, 240),))
    with pytest.raises(UserError, match="fill no such bar"):
        compose(Uniform(), without_tonic, REQUEST)
