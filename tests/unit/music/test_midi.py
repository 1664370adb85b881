"""MIDI files, read back by mido."""

import pytest
from tests.support.midi_files import read_midi

from adloom.music.abc_notation import parse_abc
from adloom.music.midi import quarter_seconds, write_midi
from adloom.music.tune import Metre, Note, Tune

TUNE = parse_abc("M:6/8\nL:1/8\nK:Em\nzEG (3B2c2d2|e3 z3|e2z ^d3|e6|E3 z3|\n")


def test_a_library_reads_the_same_notes() -> None:
    notes, meta = read_midi(write_midi(TUNE, ("adloom:seed=1",)))
    assert notes == TUNE.notes
    facts = {message.type: message for message in meta}
    assert facts["text"].text == "adloom:seed=1"
    assert (facts["time_signature"].numerator, facts["time_signature"].denominator) == (6, 8)
    assert facts["key_signature"].key == "G"


def test_equal_tunes_are_equal_bytes_and_a_tune_in_no_key_is_written() -> None:
    assert write_midi(TUNE) == write_midi(TUNE)
    free = Tune(None, None, ((Note(60, 480), Note(None, 240)),))
    assert read_midi(write_midi(free))[0] == free.notes


@pytest.mark.parametrize(("metre", "pulse"), [(Metre(2, 4), 1.0), (Metre(6, 8), 1.5), (Metre(2, 2), 2.0)])
def test_a_pulse_has_the_same_length_in_every_metre(metre: Metre, pulse: float) -> None:
    assert quarter_seconds(metre) * pulse == pytest.approx(60 / 104)
