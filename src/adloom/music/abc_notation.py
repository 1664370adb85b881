"""
Read ABC notation (standard 2.1): the melody of one tune.

Repeats are read once, endings one after the other. A chord is its highest note. Grace notes, decorations, slurs, lyrics
and chord symbols are left out.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from adloom.music.tune import (
    FLAT_ORDER,
    HIGHEST,
    LOWEST,
    MODES,
    SHARP_ORDER,
    TONICS,
    WHOLE,
    Key,
    Metre,
    Note,
    Tune,
    TuneError,
)

MAX_CHARACTERS, MAX_NOTES = 100_000, 2_000
MAX_BEATS, UNITS = 32, (1, 2, 4, 8, 16, 32)
COMMON_METRES = {"C": Metre(4, 4), "C|": Metre(2, 2)}
ACCIDENTALS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}
TUPLET_TIMES = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}  # notes: in the time of how many

LENGTH = r"(?P<{0}_times>\d{{0,4}})(?P<{0}_halves>/{{0,8}})(?P<{0}_parts>\d{{0,4}})"
PITCH = r"(?:\^\^|\^|__|_|=)?[A-Ga-g][,']*"
CHORD_NOTE = rf"(?:{PITCH}|[xz])"
ELEMENT = re.compile(
    r'"[^"]*"|![^!|]*!|\+[^+|]*\+|\{[^}]*\}'  # text, decorations, grace notes
    r"|\[(?P<field>[A-Za-z]):(?P<value>[^\]]{0,200})\]"
    rf"|\[(?P<chord>(?:\s*{CHORD_NOTE}[\d/]{{0,16}}-?)+\s*)\]{LENGTH.format('chord')}"
    rf"|(?P<note>{PITCH}|[zx]){LENGTH.format('note')}"
    r"|Z(?P<bars_of_rest>\d{0,4})"
    r"|\((?P<tuplet>\d)(?::(?P<time>\d{0,4}))?(?::(?P<count>\d{0,4}))?"
    r"|(?P<bar>(?:\[?\|[\]|:]*|:+[|\]:]*)(?:\s*\[?\d(?:[,-]\d)*)?|\[\d(?:[,-]\d)*)"  # and the number of an ending
    r"|(?P<broken>>+|<+)|(?P<tie>-)"
    r"|[()\[\]]"  # slurs, stray brackets
    r"|[H-Wh-wy~.`*$@;?#\\\s]"  # symbols that the standard leaves to the user, spaces
)
FIELD_LINE = re.compile(r"([A-Za-z+]):(.*)")
CLEF = r"(?:(?:clef|middle|stafflines)=\S+|treble|alto|tenor|bass|perc)"  # changes no pitch
KEY_WITH_ACCIDENTALS = re.compile(r"([A-G][#b]?\s*[A-Za-z]*)((?:\s*[\^_=][A-Ga-g]\b)+)(.*)")
KEY = re.compile(rf"(?P<tonic>[A-G])(?P<accidental>[#b]?)\s*(?P<mode>[A-Za-z]*)(?:\s+{CLEF})*")
MODE_NAMES = {"": "major", "m": "minor", **{mode[:3]: mode for mode in MODES}, "ion": "major", "aeo": "minor"}


def parse_abc(text: str) -> Tune:
    """Return the melody of a tune. Raises TuneError."""
    if len(text) > MAX_CHARACTERS:
        raise TuneError(f"{len(text)} characters, expected at most {MAX_CHARACTERS}")
    reader = _Reader()
    for number, line in enumerate(text.splitlines(), 1):
        content = re.sub(r"(?<!\\)%.*", "", line).strip()
        if match := FIELD_LINE.fullmatch(content):
            reader.set_field(match[1], match[2].strip())
        elif content and reader.in_body:
            for element in _split(content, number):
                reader.add(element)
    return reader.finish()


def parse_key(text: str) -> Key | None:
    """Return a key such as `Dmix` or `F# minor`, None for none. Raises TuneError."""
    if text.lower() in ("", "none") or text.startswith(("clef=", "exp")):
        return None
    if text in ("HP", "Hp"):  # Highland bagpipes
        return Key(TONICS["D"], "major")
    match = KEY.fullmatch(text)
    name = match["mode"].lower() if match else ""
    if match is None or (mode := MODE_NAMES.get(name[:3] if name != "m" else name)) is None:
        raise TuneError(f"key {text[:20]!r}, expected one such as D, Em or Amix")
    accidental = {"": 0, "#": 1, "b": -1}[match["accidental"]]
    return Key((TONICS[match["tonic"]] + accidental) % 12, mode)


def parse_metre(text: str) -> Metre | None:
    """Return a metre such as 6/8, None for none. Raises TuneError."""
    if text.lower() in ("", "none"):
        return None
    if text in COMMON_METRES:
        return COMMON_METRES[text]
    match = re.fullmatch(r"(\d{1,2})/(\d{1,2})", text)
    if not match or not 1 <= int(match[1]) <= MAX_BEATS or int(match[2]) not in UNITS:
        raise TuneError(f"metre {text[:20]!r}, expected one such as 6/8 or C")
    return Metre(int(match[1]), int(match[2]))


def _split(line: str, number: int) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(line):
        match = ELEMENT.match(line, position)
        if match is None:
            raise TuneError(f"unreadable {line[position : position + 10]!r} in line {number}")
        yield match
        position = match.end()


def _scale(match: re.Match[str], kind: str) -> Fraction:
    """Return the length that follows a note, in units."""
    halves, parts = match[f"{kind}_halves"], match[f"{kind}_parts"]
    divisor = int(parts or 2) if len(halves) == 1 else 2 ** len(halves)
    if divisor == 0:
        raise TuneError(f"length {match[0]!r}, expected no division by 0")
    return Fraction(int(match[f"{kind}_times"] or 1), divisor)


@dataclass
class _Reader:
    """The state while a tune is read."""

    in_body: bool = False
    key: Key | None = None
    metre: Metre | None = None
    unit: Fraction | None = None
    bars: list[list[tuple[int | None, Fraction]]] = field(default_factory=lambda: [[]])
    _key_accidentals: dict[str, int] = field(default_factory=dict)  # by letter
    _first: tuple[Key | None, Metre | None] | None = None
    _accidentals: dict[str, int] = field(default_factory=dict)  # of this bar, by letter and octave
    _broken: Fraction = Fraction(1)  # factor of the next note
    _tuplet: tuple[Fraction, int] = (Fraction(1), 0)  # factor, and how many notes it still applies to
    _tied: bool = False
    _count: int = 0  # notes and rests

    def set_field(self, name: str, value: str) -> None:
        """Read a field; others than key, metre and length are left out."""
        if name == "M":
            self.metre = parse_metre(value)
        elif name == "L":
            match = re.fullmatch(r"(1)/([1-9]\d{0,2})|1", value)
            if not match:
                raise TuneError(f"length {value[:20]!r}, expected one such as 1/8")
            self.unit = Fraction(1, int(match[2] or 1))
        elif name == "K":
            match = KEY_WITH_ACCIDENTALS.fullmatch(value)
            name, accidentals = (match[1] + match[3], match[2]) if match else (value, "")
            self.key, self.in_body = parse_key(name), True
            marked = re.findall(r"([\^_=])(.)", accidentals)
            self._key_accidentals = {letter.upper(): ACCIDENTALS[mark] for mark, letter in marked}
            self._first = self._first or (self.key, self.metre)

    def add(self, match: re.Match[str]) -> None:
        """Read an element of the body."""
        for group, method in ELEMENTS.items():
            if match[group] is not None:
                method(self, match)

    def finish(self) -> Tune:
        """Return the tune."""
        bars = tuple(tuple(_to_note(*note) for note in bar) for bar in self.bars if bar)
        if self._first is None:
            raise TuneError("no line K:, expected the key and then the notes")
        pitches = [note.pitch for bar in bars for note in bar if note.pitch is not None]
        if len(pitches) < 2:
            raise TuneError(f"{len(pitches)} notes, expected at least 2")
        if not LOWEST <= min(pitches) <= max(pitches) <= HIGHEST:
            raise TuneError(f"notes from {min(pitches)} to {max(pitches)}, expected MIDI {LOWEST} to {HIGHEST}")
        return Tune(*self._first, bars)

    def _add_field(self, match: re.Match[str]) -> None:
        self.set_field(match["field"], match["value"].strip())

    def _add_bar(self, match: re.Match[str]) -> None:
        del match
        self._accidentals = {}
        self.bars.append([])

    def _add_rests(self, match: re.Match[str]) -> None:
        bar = Fraction(self.metre.beats, self.metre.unit) if self.metre else Fraction(1)
        for _ in range(min(int(match["bars_of_rest"] or 1), MAX_BEATS)):
            self.bars.append([])
            self._add_to_bar(None, bar)
            self.bars.append([])

    def _start_tuplet(self, match: re.Match[str]) -> None:
        notes = int(match["tuplet"])
        is_compound = self.metre is not None and self.metre.unit == 8 and self.metre.beats % 3 == 0
        time = int(match["time"] or 0) or TUPLET_TIMES.get(notes, 3 if is_compound else 2)
        if notes == 0:
            raise TuneError("tuplet (0, expected 2 to 9 notes")
        self._tuplet = Fraction(time, notes), int(match["count"] or notes)

    def _break_rhythm(self, match: re.Match[str]) -> None:
        """Lengthen the note before by what the note after loses, or the reverse."""
        if self.bars[-1]:
            short = Fraction(1, 2 ** min(len(match["broken"]), 3))
            before, self._broken = (2 - short, short) if match["broken"][0] == ">" else (short, 2 - short)
            pitch, length = self.bars[-1][-1]
            self.bars[-1][-1] = pitch, length * before

    def _tie(self, match: re.Match[str]) -> None:
        del match
        self._tied = True

    def _add_chord(self, match: re.Match[str]) -> None:
        pitches = [self._find_pitch(name) for name in re.findall(PITCH, match["chord"])]
        first = re.search(CHORD_NOTE + LENGTH.format("first"), match["chord"])
        length = _scale(first, "first") if first else Fraction(1)
        self._append(max(pitches, default=None), length * _scale(match, "chord"))

    def _add_note(self, match: re.Match[str]) -> None:
        pitch = None if match["note"] in "zx" else self._find_pitch(match["note"])
        self._append(pitch, _scale(match, "note"))

    def _append(self, pitch: int | None, units: Fraction) -> None:
        factor, left = self._tuplet
        length = units * self._unit * self._broken * (factor if left else 1)
        self._tuplet, self._broken = (factor, max(left - 1, 0)), Fraction(1)
        last = self.bars[-1][-1] if self.bars[-1] else None
        if self._tied and last is not None and last[0] == pitch:
            self.bars[-1][-1] = pitch, last[1] + length
        else:
            self._add_to_bar(pitch, length)
        self._tied = False

    def _add_to_bar(self, pitch: int | None, length: Fraction) -> None:
        self._count += 1
        if self._count > MAX_NOTES:
            raise TuneError(f"more than {MAX_NOTES} notes and rests")
        self.bars[-1].append((pitch, length))

    @property
    def _unit(self) -> Fraction:
        """The length of a note without number; by default from the metre."""
        if self.unit is not None:
            return self.unit
        is_short = self.metre is not None and Fraction(self.metre.beats, self.metre.unit) < Fraction(3, 4)
        return Fraction(1, 16) if is_short else Fraction(1, 8)

    def _find_pitch(self, text: str) -> int:
        """Return the MIDI pitch of a note; an accidental lasts until the end of the bar."""
        letter, marks = re.fullmatch(r"[\^_=]*([A-Ga-g])([,']*)", text).groups()  # type: ignore[union-attr]
        octave = (5 if letter.isupper() else 6) + marks.count("'") - marks.count(",")
        name, accidental = f"{letter.upper()}{octave}", text[: -len(letter + marks)]
        if accidental:
            self._accidentals[name] = ACCIDENTALS[accidental]
        sharps = self.key.sharps if self.key else 0
        signature = (letter.upper() in SHARP_ORDER[: max(sharps, 0)]) - (
            letter.upper() in FLAT_ORDER[: max(-sharps, 0)]
        )
        signature = self._key_accidentals.get(letter.upper(), signature)
        return 12 * octave + TONICS[letter.upper()] + self._accidentals.get(name, signature)


ELEMENTS: Mapping[str, Callable[[_Reader, re.Match[str]], None]] = {
    "field": _Reader._add_field,
    "chord": _Reader._add_chord,
    "note": _Reader._add_note,
    "bars_of_rest": _Reader._add_rests,
    "tuplet": _Reader._start_tuplet,
    "bar": _Reader._add_bar,
    "broken": _Reader._break_rhythm,
    "tie": _Reader._tie,
}


def _to_note(pitch: int | None, length: Fraction) -> Note:
    ticks = length * WHOLE
    if ticks.denominator != 1 or not 0 < ticks <= 4 * WHOLE:
        raise TuneError(f"a note of {length} of a whole note, expected a multiple of 1/{WHOLE} up to 4")
    return Note(pitch, int(ticks))
