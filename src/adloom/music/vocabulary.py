"""
Notes as tokens: a token is a pitch and a duration, and the key is normalised.

A tune is transposed by at most half an octave so that its key signature is empty. A sequence is
`prefix, note, …, end`; the prefix is the tune's style, such as `6/8 minor`. A note that occurs once in training is
`other`, as is every unseen note.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from adloom.errors import ArtifactError
from adloom.music.tune import Key, Metre, Note, Tune

MIN_FREQUENCY = 2
FREE = "free"  # metre of a tune without one
MINOR_MODES = ("minor", "dorian", "phrygian", "locrian")


@dataclass(frozen=True)
class NoteVocabulary:
    """The tokens, in this order: begin, end, other, the styles, the notes."""

    styles: tuple[str, ...]  # the most common first
    notes: tuple[Note, ...]

    begin: ClassVar[int] = 0
    end: ClassVar[int] = 1
    other: ClassVar[int] = 2

    @property
    def size(self) -> int:
        """The number of tokens."""
        return self.first_note + len(self.notes)

    @property
    def first_note(self) -> int:
        """The token of the first note."""
        return self.other + 1 + len(self.styles)

    @property
    def parts(self) -> list[list[int]]:
        """Numbers of the pitch and the duration of each token; the tokens before the notes have their own."""
        pitches = {pitch: i for i, pitch in enumerate(dict.fromkeys(note.pitch for note in self.notes))}
        lengths = {ticks: len(pitches) + i for i, ticks in enumerate(sorted({note.ticks for note in self.notes}))}
        first = len(pitches) + len(lengths)
        others = [[first + 2 * token, first + 2 * token + 1] for token in range(self.first_note)]
        return [*others, *([pitches[note.pitch], lengths[note.ticks]] for note in self.notes)]

    def prefix(self, style: str | None) -> int:
        """Return the first token of a tune; an unknown style counts as none."""
        return self.other + 1 + self.styles.index(style) if style in self.styles else self.begin

    def encode(self, tunes: Iterable[Tune]) -> list[list[int]]:
        """Return the tokens of whole tunes: prefix, notes, end."""
        token = {note: i for i, note in enumerate(self.notes, self.first_note)}
        return [
            [
                self.prefix(find_style(tune)),
                *(token.get(note, self.other) for note in normalise_notes(tune)),
                self.end,
            ]
            for tune in tunes
        ]

    def decode(self, tokens: Sequence[int]) -> list[Note]:
        """Return the normalised notes of tokens, without prefix and end."""
        return [self.notes[token - self.first_note] for token in tokens if token >= self.first_note]

    def to_json(self) -> str:
        """Return the content of vocabulary.json."""
        return json.dumps({"styles": self.styles, "notes": self.notes}) + "\n"


def from_json(text: str) -> NoteVocabulary:
    """Parse vocabulary.json. Raises ArtifactError when it is invalid."""
    try:
        content = json.loads(text)
        return NoteVocabulary(tuple(content["styles"]), tuple(Note(*note) for note in content["notes"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"vocabulary.json: no notes of this project: {error!r}; run `adloom train-music`") from None


def fit(tunes: Sequence[Tune]) -> NoteVocabulary:
    """Return the vocabulary of tunes."""
    counts = Counter(note for tune in tunes for note in normalise_notes(tune))
    notes = (note for note, count in counts.items() if count >= MIN_FREQUENCY)
    styles = Counter(find_style(tune) for tune in tunes)
    ordered = sorted(notes, key=lambda note: (note.pitch or 0, note.ticks))
    return NoteVocabulary(tuple(sorted(styles, key=lambda style: (-styles[style], style))), tuple(ordered))


def normalise_notes(tune: Tune) -> list[Note]:
    """Return the notes of a tune, transposed to an empty key signature."""
    return transpose(tune.notes, -find_shift(tune.key))


def transpose(notes: Iterable[Note], semitones: int) -> list[Note]:
    """Return the notes higher by semitones."""
    return [note if note.pitch is None else note._replace(pitch=note.pitch + semitones) for note in notes]


def find_shift(key: Key | None) -> int:
    """Return the semitones, -5 to 6, from the empty key signature to that of a key; 0 for no key."""
    return 0 if key is None else (key.major + 5) % 12 - 5


def find_style(tune: Tune) -> str:
    """Return metre and mode, such as `6/8 minor`."""
    return name_style(tune.metre, tune.key)


def name_style(metre: Metre | None, key: Key | None) -> str:
    """Return the name of a metre in a key."""
    return f"{metre or FREE} {'minor' if key and key.mode in MINOR_MODES else 'major'}"
