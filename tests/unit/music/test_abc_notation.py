"""ABC notation: notes worked by hand, and notation that is broken, odd or hostile."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.music.abc_notation import MAX_CHARACTERS, parse_abc, parse_key, parse_metre
from adloom.music.tune import BEAT, Key, Metre, Note, TuneError

HUGE = [before + "9" * 5_000 for before in ("C", "C/", "Z", "(3:", "(3:2:", "[CE]")]
HEAD = "X:1\nM:4/4\nL:1/4\nK:{}\n"


def read(body: str, key: str = "C") -> list[tuple[int | None, float]]:
    """Return pitches and quarter notes."""
    return [(note.pitch, note.ticks / BEAT) for note in parse_abc(HEAD.format(key) + body).notes]


def test_a_tune_worked_by_hand() -> None:
    tune = parse_abc("X:1\nT:Test\nM:6/8\nL:1/8\nK:D\n|:DFA d2c|f3 z3:|\n")
    e = BEAT // 2
    assert tune.key == Key(2, "major")
    assert tune.metre == Metre(6, 8)
    assert tune.bars == (  # F and C are sharp in D
        (Note(62, e), Note(66, e), Note(69, e), Note(74, 2 * e), Note(73, e)),
        (Note(78, 3 * e), Note(None, 3 * e)),
    )


@pytest.mark.parametrize(
    ("body", "notes"),
    [
        ("C,Cc'", [(48, 1), (60, 1), (84, 1)]),
        ("C2C/C//C3/2C/4C/3", [(60, 2), (60, 0.5), (60, 0.25), (60, 1.5), (60, 0.25), (60, 1 / 3)]),
        ("A>B c<d A>>B", [(69, 1.5), (71, 0.5), (72, 0.5), (74, 1.5), (69, 1.75), (71, 0.25)]),
        ("(3ABc d", [(69, 2 / 3), (71, 2 / 3), (72, 2 / 3), (74, 1)]),
        ("(2AB (5:4:5ABcde", [(69, 1.5), (71, 1.5), *((p, 0.8) for p in (69, 71, 72, 74, 76))]),
        ("{gf}A {/B}c", [(69, 1), (72, 1)]),
        ("A-A|B-|B", [(69, 2), (71, 1), (71, 1)]),
        ("^FF|F _B =B", [(66, 1), (66, 1), (65, 1), (70, 1), (71, 1)]),
        ("[CEG]2 [A/c/]", [(67, 2), (72, 0.5)]),
        ("C[z2]D[ ]", [(60, 1), (None, 2), (62, 1)]),
        ('"Gm"A!trill!B vu~.c (de)', [(69, 1), (71, 1), (72, 1), (74, 1), (76, 1)]),
        ("|:A|1 B:|2 c|]", [(69, 1), (71, 1), (72, 1)]),
        ("A[K:D]F[L:1/8]F % F", [(69, 1), (66, 1), (66, 0.5)]),
        ("Z2 A B", [(None, 4), (None, 4), (69, 1), (71, 1)]),
    ],
    ids=str,
)
def test_an_element_worked_by_hand(body: str, notes: list[tuple[int | None, float]]) -> None:
    pitches, lengths = zip(*read(body), strict=True)
    assert list(pitches) == [pitch for pitch, _ in notes]
    assert list(lengths) == pytest.approx([length for _, length in notes])


@pytest.mark.parametrize(
    ("text", "key", "sharps"),
    [
        ("D", Key(2, "major"), 2),
        ("Em", Key(4, "minor"), 1),
        ("Ador", Key(9, "dorian"), 1),
        ("Amix", Key(9, "mixolydian"), 2),
        ("Bb", Key(10, "major"), -2),
        ("F# minor", Key(6, "minor"), 3),
        ("Glyd clef=bass", Key(7, "lydian"), 2),
        ("HP", Key(2, "major"), 2),
    ],
)
def test_keys(text: str, key: Key, sharps: int) -> None:
    assert parse_key(text) == key
    assert key.sharps == sharps


def test_accidentals_of_a_key_last_until_the_next_key() -> None:
    pitches = [pitch for pitch, _ in read("fcC|c [K:D] c", "D ^g =c clef=treble")]
    assert pitches == [78, 72, 60, 72, 73]
    assert parse_abc("K:Dmix=c\nAB\n").key == Key(2, "mixolydian")


@pytest.mark.parametrize("text", ["D foo", "D major foo", "D ^c", "D octave=1", "Dmaj7", "D5"])
def test_what_follows_a_key_is_not_ignored(text: str) -> None:
    with pytest.raises(TuneError, match=f"key '{re.escape(text)}', expected one such as D"):
        parse_key(text)


def test_a_tune_in_no_key_has_no_signature() -> None:
    tune = parse_abc("K:none\nFGAB\n")
    assert tune.key is None
    assert [note.pitch for note in tune.notes] == [65, 67, 69, 71]


def test_a_tune_without_bar_lines_and_metre_is_one_bar() -> None:
    tune = parse_abc("M:none\nL:1/8\nK:G\nGABc d2f2\n")
    assert (tune.metre, len(tune.bars), len(tune.notes)) == (None, 1, 6)
    assert parse_metre("C|") == Metre(2, 2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no line K:"),
        ("CDE", "no line K:"),
        ("K:C\n", "0 notes, expected at least 2"),
        ("K:C\nC\n", "1 notes, expected at least 2"),
        ("K:H\nCDE\n", "key 'H', expected one such as D, Em or Amix"),
        ("M:7/13\nK:C\nCDE\n", "metre '7/13', expected one such as 6/8 or C"),
        ("L:0\nK:C\nCDE\n", "length '0', expected one such as 1/8"),
        ("K:C\nCD & E\n", "unreadable '& E' in line 2"),
        ("K:C\n(7ABcdefg\n", "a note of 1/28 of a whole note"),
        ("K:C\nC9999 D\n", "of a whole note, expected a multiple of 1/1920 up to 4"),
        ("K:C\nC/0D\n", "expected no division by 0"),
        ("K:C\n(0ABC\n", r"tuplet \(0, expected 2 to 9 notes"),
        ("K:C\nC,,,,,,D\n", "notes from -12 to 62, expected MIDI 21 to 108"),
        ("K:C\n" + "C" * 5_000_000, f"5000004 characters, expected at most {MAX_CHARACTERS}"),
        ("K:C\n" + "C" * 3_000, "more than 2000 notes and rests"),
        ("K:C\n" + "Z32" * 30_000, "more than 2000 notes and rests"),
        *((f"K:C\n{text}D\n", "unreadable '9999") for text in HUGE),
        ("K:C\nC" + "/" * 20_000 + "D\n", "unreadable '////"),
        ("K:C\n[C/0E]D\n", "expected no division by 0"),
        ("K:C\n" + "[K:" * 30_000, "0 notes, expected at least 2"),
    ],
    ids=lambda value: value[:20],
)
def test_a_broken_tune_has_its_reason(text: str, reason: str) -> None:
    with pytest.raises(TuneError, match=reason):
        parse_abc(text)


@given(st.text("XKML:|[]{}()\"!ABCdefg',/0123456789<>-^_=z \n%\\&", max_size=80))
def test_any_text_is_a_tune_or_a_reason(text: str) -> None:
    try:
        tune = parse_abc(f"K:C\n{text}")
    except TuneError:
        return
    assert len(tune.notes) >= 2
    assert all(note.ticks > 0 for note in tune.notes)
