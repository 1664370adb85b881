"""Runs of notes that two tunes share."""

from itertools import accumulate

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adloom.music.runs import RUN, collect_runs, find_family, fingerprint_runs, has_known_run
from adloom.music.tune import Note
from adloom.music.vocabulary import transpose

INTERVALS = st.lists(st.integers(-5, 5), min_size=RUN - 1, max_size=40)


def tune(intervals: list[int], ticks: int = 240) -> list[Note]:
    return [Note(pitch, ticks) for pitch in accumulate(intervals, initial=70)]


@given(INTERVALS, st.integers(-12, 12), st.integers(0, 20))
def test_a_run_is_found_in_another_key_and_rhythm_and_place(intervals: list[int], semitones: int, before: int) -> None:
    known = collect_runs([tune(intervals)])
    run = transpose(tune(intervals, ticks=120)[:RUN], semitones)
    copied = [*[Note(None, 10)] * before, *run[:5], Note(None, 240), *run[5:], Note(30, 1)]
    assert has_known_run(copied, known)


def test_a_run_of_one_note_less_or_other_is_none() -> None:
    intervals = [2, 2, 1, 2, -3, 4, -1, 2, 5, -7, 2, 2, -4, 3, 1]
    known = collect_runs([tune(intervals)])
    assert len(known) == 1
    assert not has_known_run(tune(intervals[:-1]), known)
    assert not has_known_run(tune([*intervals[:-1], 2]), known)
    assert fingerprint_runs([]).size == collect_runs([]).size == 0


def test_versions_of_a_tune_are_mostly_one_family() -> None:
    rng = np.random.default_rng(0)
    tunes = [rng.integers(-5, 6, 100).tolist() for _ in range(200)]
    versions = [[*intervals[:50], 4, *intervals[51:]] for intervals in tunes]
    same = sum(find_family(tune(a)) == find_family(tune(b)) for a, b in zip(tunes, versions, strict=True))
    assert same / len(tunes) > 0.75  # 82 of 100 runs are common
    assert len({find_family(tune(intervals)) for intervals in tunes}) == 200
    assert find_family(tune([1, 2])) == find_family(transpose(tune([1, 2]), 3))
