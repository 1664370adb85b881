"""
Compose melodies under rules. NumPy only, so that serving needs no torch.

Every bar has the length of the metre, because only notes that leave a rest which other notes can fill are allowed. The
last note is a tonic. A melody that repeats a run of a training tune is given up and another is drawn.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from adloom.arrays import BoolArray, Int64Array, UInt64Array
from adloom.errors import UserError
from adloom.music.abc_notation import parse_metre
from adloom.music.runs import RUN, has_known_run
from adloom.music.tune import BEAT, Key, Metre, Note, Tune, TuneError
from adloom.music.vocabulary import NoteVocabulary, find_shift, name_style, transpose
from adloom.sequences.decoding import Draw, S, SequenceModel, draw_one, run_tasks

SHORTEST = BEAT // 16  # ticks of the shortest note that is composed
GRID = BEAT // 8  # ticks; triplets leave the grid and have to return to it
BATCH = 4  # melodies drawn at once, of which the first valid one is returned
MAX_ROUNDS = 8  # bounds the cost of a request
MAX_BEATS = 12  # quarter notes of a requested bar; bounds the cost, too


@dataclass(frozen=True)
class MelodyRequest:
    """A request for a melody."""

    bars: int
    seed: int
    key: Key
    metre: Metre | None = None  # by default the most common one of the training tunes
    temperature: float = 1.0  # below 1 more likely notes, above 1 more unusual ones
    top_p: float = 0.95  # nucleus: only the likeliest notes that together have this probability


def parse_short_metre(text: str) -> Metre | None:
    """Return the metre of a request, None for none. Raises TuneError for a bar longer than MAX_BEATS."""
    metre = parse_metre(text)
    if metre is not None and metre.ticks > MAX_BEATS * BEAT:
        raise TuneError(f"metre {metre}: longer than {MAX_BEATS}/4; take a shorter one")
    return metre


def compose(
    model: SequenceModel[S], vocabulary: NoteVocabulary, request: MelodyRequest, known: UInt64Array | None = None
) -> Tune:
    """
    Return a melody; equal requests to equal models give equal melodies.

    `known` has the fingerprints of runs that no melody may repeat. Raises UserError when the notes cannot fill a bar,
    or when every melody repeats a run.
    """
    for number in range(MAX_ROUNDS):
        if melodies := draw_melodies(model, vocabulary, request, known, number=number):
            return melodies[0]
    raise UserError(f"{MAX_ROUNDS * BATCH} melodies: each repeats {RUN} notes of a training tune; take another seed")


def draw_melodies(
    model: SequenceModel[S],
    vocabulary: NoteVocabulary,
    request: MelodyRequest,
    known: UInt64Array | None = None,
    *,
    batch: int = BATCH,
    number: int = 0,
) -> list[Tune]:
    """Draw a batch of melodies and return those that repeat no known run; `number` varies the seed."""
    metre = request.metre or parse_metre(vocabulary.styles[0].split()[0]) or Metre(4, 4)
    draw = Draw(
        batch,
        _BarConstraint(vocabulary, request, metre, known, batch),
        np.random.default_rng([request.seed, number]),
        prefix=vocabulary.prefix(name_style(metre, request.key)),
        end=vocabulary.end,
        max_tokens=request.bars * metre.ticks // SHORTEST + 1,
        temperature=request.temperature,
        top_p=request.top_p,
    )
    ((sequences, _),) = run_tasks(model, [draw_one(draw)])
    shift = find_shift(request.key)
    melodies = (transpose(vocabulary.decode(tokens), shift) for tokens in sequences)
    return [Tune(request.key, metre, tuple(split_bars(notes, metre))) for notes in melodies]


def split_bars(notes: Iterable[Note], metre: Metre) -> Iterable[tuple[Note, ...]]:
    """Yield the notes of each bar; the last one may be shorter."""
    bar: list[Note] = []
    for note in notes:
        bar.append(note)
        if sum(n.ticks for n in bar) >= metre.ticks:
            yield tuple(bar)
            bar = []
    if bar:
        yield tuple(bar)


class _BarConstraint:
    """Holds the melodies of a batch to whole bars, a tonic at the end, and no known run."""

    def __init__(
        self, vocabulary: NoteVocabulary, request: MelodyRequest, metre: Metre, known: UInt64Array | None, batch: int
    ) -> None:
        self._vocabulary, self._known, self._bar = vocabulary, known, metre.ticks
        self._left = np.full(batch, request.bars * self._bar)  # ticks
        self._notes: list[list[Note]] = [[] for _ in range(batch)]
        tonic = (request.key.tonic - find_shift(request.key)) % 12
        self._is_tonic = [note.pitch is not None and note.pitch % 12 == tonic for note in vocabulary.notes]
        self._allowed = cache(self._find_allowed)
        self._fills = cache(self._can_fill)
        if not self._allowed(self._bar, True).any() or not self._allowed(self._bar, False).any():
            raise UserError(
                f"metre {metre}: the model's notes fill no such bar; it knows {', '.join(vocabulary.styles)}"
            )

    def allowed(self, rows: Int64Array) -> BoolArray:
        """Return the notes that fit into the bar of each row: (rows, vocabulary)."""
        return np.stack([self._mask(left) for left in self._left[rows].tolist()])

    def update(self, rows: Int64Array, tokens: Int64Array) -> BoolArray:
        """Record the next note of each row; return which rows repeat no known run (rows,)."""
        for row, note in zip(rows, tokens.tolist(), strict=True):
            for added in self._vocabulary.decode([note]):
                self._left[row] -= added.ticks
                self._notes[row].append(added)
        if self._known is None:
            return np.ones(len(rows), np.bool_)
        recent = [[note for note in self._notes[row][-4 * RUN :] if note.pitch is not None] for row in rows]
        return np.array([not has_known_run(notes[-RUN:], self._known) for notes in recent])

    def _mask(self, left: int) -> BoolArray:
        """Return which tokens may come with so many ticks left of the melody (vocabulary,)."""
        if left == 0:
            ending: BoolArray = np.arange(self._vocabulary.size) == self._vocabulary.end
            return ending
        return self._allowed((left - 1) % self._bar + 1, left <= self._bar)

    def _find_allowed(self, left: int, is_last: bool) -> BoolArray:
        """Return which tokens may come with so many ticks left of a bar (vocabulary,)."""
        mask = np.zeros(self._vocabulary.size, np.bool_)
        mask[self._vocabulary.first_note :] = [
            self._fits(note.ticks, left) and self._fills(left - note.ticks, is_last, is_tonic)
            for note, is_tonic in zip(self._vocabulary.notes, self._is_tonic, strict=True)
        ]
        return mask

    def _can_fill(self, left: int, is_last: bool, after_tonic: bool) -> bool:
        """Return whether notes can fill the rest of a bar; the last bar ends with a tonic."""
        if left == 0:
            return after_tonic or not is_last
        kinds = {(note.ticks, tonic) for note, tonic in zip(self._vocabulary.notes, self._is_tonic, strict=True)}
        return any(self._fits(ticks, left) and self._fills(left - ticks, is_last, tonic) for ticks, tonic in kinds)

    @staticmethod
    def _fits(ticks: int, left: int) -> bool:
        return SHORTEST <= ticks <= left and (left % GRID == 0 or ticks % GRID != 0)
