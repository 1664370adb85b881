"""Notes as tokens."""

import pytest

from adloom.errors import ArtifactError
from adloom.music import vocabulary
from adloom.music.abc_notation import parse_abc
from adloom.music.tune import Key, Note, Tune
from adloom.music.vocabulary import NoteVocabulary, find_shift, find_style, normalise_notes

TUNES = [parse_abc(f"M:{metre}\nL:1/8\nK:{key}\n{body}\n") for metre, key, body in (
    ("6/8", "D", "DEF DEF|D3 D3|"), ("6/8", "G", "GAB GAB|G3 z3|"), ("2/4", "Em", "EFGE|"),
)]  # fmt: skip


def test_tokens_of_tunes_worked_by_hand() -> None:
    notes = vocabulary.fit(TUNES)
    c, d, e, long_c = (Note(60, 240), Note(62, 240), Note(64, 240), Note(60, 720))
    assert notes.styles == ("6/8 major", "2/4 minor")  # the most common first
    high = [Note(pitch, ticks) for pitch, ticks in ((69, 240), (72, 240), (74, 240), (76, 240))]
    assert set(notes.notes) <= {c, d, e, long_c, *high}
    tokens = notes.encode(TUNES)
    assert [sequence[0] for sequence in tokens] == [3, 3, 4]
    assert all(sequence[-1] == notes.end for sequence in tokens)
    assert notes.decode(tokens[0]) == [c, d, e, c, d, e, long_c, long_c]
    assert tokens[1].count(notes.other) == 2  # the long note and the rest are found once
    assert max(map(max, tokens)) == notes.size - 1


def test_notes_share_parts_by_pitch_and_by_duration() -> None:
    notes = NoteVocabulary(("2/4 major",), (Note(60, 240), Note(62, 240), Note(60, 480), Note(None, 480)))
    parts = notes.parts
    assert parts[4:] == [[0, 3], [1, 3], [0, 4], [2, 4]]
    assert sorted(number for own in parts[:4] for number in own) == list(range(5, 13))  # of their own


def test_a_tune_is_the_same_in_every_key() -> None:
    assert normalise_notes(TUNES[0]) == [Note(n.pitch and n.pitch - 2, n.ticks) for n in TUNES[0].notes]
    assert [find_shift(Key(tonic, "major")) for tonic in range(12)] == [0, 1, 2, 3, 4, 5, 6, -5, -4, -3, -2, -1]
    assert find_shift(Key(9, "minor")) == find_shift(None) == 0
    assert find_style(Tune(None, None, ())) == "free major"


def test_a_tune_in_no_key_comes_back_as_it_is() -> None:
    free = parse_abc("M:none\nL:1/8\nK:none\n^C_EF^C_EF^G^G\n")
    notes = vocabulary.fit([free])
    (tokens,) = notes.encode([free])
    assert notes.styles == ("free major",)
    assert notes.decode(tokens[1:-1]) == list(free.notes)


def test_json_round_trip_and_broken_json() -> None:
    notes = vocabulary.fit(TUNES)
    assert vocabulary.from_json(notes.to_json()) == notes
    for text in ("", "{}", '{"styles": 3, "notes": [1]}'):
        with pytest.raises(ArtifactError, match="run `adloom train-music`"):
            vocabulary.from_json(text)
