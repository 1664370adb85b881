"""A melody: notes in bars, a key and a metre."""

from dataclasses import dataclass
from typing import NamedTuple

from adloom.errors import DataError

BEAT = 480  # ticks of a quarter note, as in MIDI files
WHOLE = 4 * BEAT
LOWEST, HIGHEST = 21, 108  # MIDI pitches of a piano

TONICS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
MODES = {"major": 0, "minor": 3, "dorian": 10, "phrygian": 8, "lydian": 7, "mixolydian": 5, "locrian": 1}
FLAT_NAMES = {1: "Db", 3: "Eb", 6: "F#", 8: "Ab", 10: "Bb"}  # of the other tonics
SHARP_ORDER, FLAT_ORDER = "FCGDAEB", "BEADGCF"


class TuneError(DataError):
    """A tune that cannot be read, as the reason for its quarantine."""


class Note(NamedTuple):
    """A note, or a rest without a pitch."""

    pitch: int | None  # MIDI number; 60 is middle C
    ticks: int


@dataclass(frozen=True)
class Key:
    """A tonic (a pitch class) and a mode; a tune in no key counts as C major, whose signature is empty."""

    tonic: int
    mode: str

    def __str__(self) -> str:
        names = {pitch: name for name, pitch in TONICS.items()}
        return f"{names.get(self.tonic) or FLAT_NAMES[self.tonic]} {self.mode}"

    @property
    def major(self) -> int:
        """The tonic of the major scale with the same notes."""
        return (self.tonic + MODES[self.mode]) % 12

    @property
    def sharps(self) -> int:
        """The sharps of its signature; flats are negative, six are sharps."""
        return (self.major * 7 + 5) % 12 - 5


@dataclass(frozen=True)
class Metre:
    """Beats of a bar and the note that has one beat."""

    beats: int
    unit: int

    @property
    def ticks(self) -> int:
        """The length of a bar."""
        return self.beats * WHOLE // self.unit

    def __str__(self) -> str:
        return f"{self.beats}/{self.unit}"


@dataclass(frozen=True)
class Tune:
    """A melody."""

    key: Key | None  # None: in no key
    metre: Metre | None  # None: free
    bars: tuple[tuple[Note, ...], ...]

    @property
    def notes(self) -> list[Note]:
        """All notes and rests."""
        return [note for bar in self.bars for note in bar]
