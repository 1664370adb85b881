"""Draw token sequences from a model. NumPy only, so that serving needs no torch."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

import numpy as np

from adloom.arrays import AnyArray, BoolArray, Float32Array, Float64Array, Int64Array
from adloom.sequences.guidance import guide

S = TypeVar("S")
T = TypeVar("T")

MOST_SORTED = 0.99  # probability of the likeliest tokens, which alone are sorted at first


class SequenceModel(Protocol[S]):
    """A model that continues token sequences."""

    def start(self, batch: int) -> S:
        """Return the state before the first token."""
        ...

    def __call__(self, token: Int64Array, state: S) -> tuple[Float32Array, S]:
        """Return logits (batch, sequence, vocabulary) and the next state for tokens (batch, sequence) and a state."""
        ...


class Constraint(Protocol):
    """Limits the sequences of one batch while they are decoded."""

    def allowed(self, rows: Int64Array) -> BoolArray:
        """Return which tokens may come next in these rows of the batch: (rows, vocabulary)."""
        ...

    def update(self, rows: Int64Array, tokens: Int64Array) -> BoolArray:
        """Record the next token of each row; return which rows may continue: (rows,)."""
        ...


@dataclass(frozen=True)
class Draw:
    """A batch of sequences to draw after the token `prefix`."""

    batch: int
    constraint: Constraint
    random: np.random.Generator
    prefix: int
    end: int
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    guidance: float = 0.0  # above 0 the sequences are more typical of the prefix
    begin: int = 0  # the prefix that tells nothing, from which guidance leads away


class DrawnSequences(NamedTuple):
    """The sequences of one draw."""

    sequences: list[list[int]]  # those that ended, without prefix and end
    steps: int


Task = Generator[Draw, DrawnSequences, T]  # asks for draws one after another, and returns what it makes of them


def run_tasks(model: SequenceModel[S], tasks: Sequence[Task[T]]) -> list[T]:
    """
    Run tasks together: one call of the model continues the sequences of all.

    What a task draws does not depend on the others.
    """
    decoder, results = _Decoder(model), dict[int, T]()

    def resume(number: int, drawn: DrawnSequences | None) -> None:
        try:
            decoder.add(number, tasks[number].send(cast("DrawnSequences", drawn)))  # a generator starts with None
        except StopIteration as stop:
            results[number] = stop.value

    for number in range(len(tasks)):
        resume(number, None)
    while decoder.is_busy:
        for number, drawn in decoder.step():
            resume(number, drawn)
    return [results[number] for number in range(len(tasks))]


def draw_one(draw: Draw) -> Task[DrawnSequences]:
    """Return the task of a single draw."""
    return (yield draw)


@dataclass
class _Progress:
    """The sequences of one draw."""

    number: int  # of the task
    draw: Draw
    running: Int64Array  # rows of the batch that continue
    sequences: list[list[int]]
    ended: set[int] = field(default_factory=set)
    steps: int = 0

    @property
    def is_done(self) -> bool:
        return not len(self.running) or self.steps >= self.draw.max_tokens

    def update(self, drawn: Int64Array) -> BoolArray:
        """Record the next token of each running row; return which rows continue."""
        self.steps += 1
        is_end = drawn == self.draw.end
        for row, token in zip(self.running.tolist(), drawn.tolist(), strict=True):
            if token == self.draw.end:
                self.ended.add(row)
            else:
                self.sequences[row].append(token)
        continues: BoolArray = self.draw.constraint.update(self.running, drawn) & ~is_end
        self.running = self.running[continues]
        return continues & (not self.is_done)

    def result(self) -> DrawnSequences:
        return DrawnSequences([self.sequences[row] for row in sorted(self.ended)], self.steps)


class _Decoder(Generic[S]):
    """Continues the running rows of several draws, in turn; then come the guided ones again, without their prefix."""

    def __init__(self, model: SequenceModel[S]) -> None:
        self._model = model
        self._draws: list[_Progress] = []
        self._finished: list[_Progress] = []
        self._token = np.zeros(0, np.int64)
        self._settings = np.zeros((5, 0))  # temperature, top_p, guidance, prefix and begin of each row
        self._state: Any = None

    @property
    def is_busy(self) -> bool:
        """Whether a draw has not been returned yet."""
        return bool(self._draws or self._finished)

    def add(self, number: int, draw: Draw) -> None:
        """Start a draw of a task."""
        progress = _Progress(number, draw, np.arange(draw.batch), [[] for _ in range(draw.batch)])
        if progress.is_done:
            self._finished.append(progress)
            return
        before, old = len(self._token), len(self._token) + np.count_nonzero(self._settings[2])
        state = self._model.start(draw.batch * (2 if draw.guidance else 1))
        self._draws.append(progress)
        self._token = np.append(self._token, np.full(draw.batch, draw.prefix))
        row = np.array([draw.temperature, draw.top_p, draw.guidance, draw.prefix, draw.begin])
        self._settings = np.concatenate([self._settings, row[:, None].repeat(draw.batch, 1)], axis=1)
        if self._state is None:
            self._state = state
            return
        new = np.arange(draw.batch)
        shadows = np.arange(draw.batch, draw.batch * (2 if draw.guidance else 1))
        order = np.concatenate([np.arange(before), old + new, np.arange(before, old), old + shadows])
        self._state = select_rows(concatenate_rows([self._state, state]), order)

    def step(self) -> list[tuple[int, DrawnSequences]]:
        """Draw the next token of every running row; return the draws that are done, with the numbers of their tasks."""
        if self._draws:
            self._continue()
        done, self._finished = self._finished, []
        return [(progress.number, progress.result()) for progress in done]

    def _continue(self) -> None:
        temperature, top_p, guidance, prefix, begin = self._settings
        guided, rows = np.flatnonzero(guidance), len(self._token)
        plain = np.where(self._token == prefix, begin, self._token).astype(np.int64)[guided]
        logits, state = self._model(np.concatenate([self._token, plain])[:, None], self._state)
        logits = guide(logits[:, -1], guided, guidance[guided])
        allowed = np.concatenate([each.draw.constraint.allowed(each.running) for each in self._draws])
        uniform = np.concatenate([each.draw.random.random(each.draw.batch)[each.running] for each in self._draws])
        self._token = sample_tokens(logits, allowed, uniform, temperature, top_p)
        ends = np.cumsum([len(each.running) for each in self._draws])[:-1]
        parts = zip(self._draws, np.split(self._token, ends), strict=True)
        keep = np.concatenate([progress.update(drawn) for progress, drawn in parts])
        self._finished += [each for each in self._draws if each.is_done]
        self._draws = [each for each in self._draws if not each.is_done]
        if self._draws and not keep.all():
            state = select_rows(state, np.concatenate([np.flatnonzero(keep), rows + np.flatnonzero(keep[guided])]))
        self._token, self._settings = self._token[keep], self._settings[:, keep]
        self._state = state if self._draws else None


def select_rows(state: Any, rows: Int64Array) -> Any:
    """Return the state of some rows. The second axis of a state's arrays is the batch."""
    return _map_arrays(lambda arrays: arrays[0][:, rows], [state])


def concatenate_rows(states: Sequence[Any]) -> Any:
    """Return the state of the rows of all states."""
    return _map_arrays(lambda arrays: np.concatenate(arrays, axis=1), states)


def _map_arrays(function: Callable[[list[AnyArray]], AnyArray], states: Sequence[Any]) -> Any:
    """Return a state of the same type with the results for its arrays; a state without arrays has no rows."""
    first = states[0]
    if isinstance(first, np.ndarray):
        return function(list(states))
    if not is_dataclass(first) or isinstance(first, type):
        return first
    parts = {each.name: [getattr(state, each.name) for state in states] for each in fields(first)}
    return replace(first, **{name: _map_arrays(function, values) for name, values in parts.items()})


def sample_tokens(
    logits: Float32Array,
    allowed: BoolArray,
    uniform: Float64Array,
    temperature: float | Float64Array = 1.0,
    top_p: float | Float64Array = 1.0,
) -> Int64Array:
    """
    Draw one allowed token per row from logits (batch, vocabulary).

    `uniform` (batch,) in [0, 1) is the only randomness: the inverse distribution function is taken at it.
    `temperature` and `top_p` are those of all rows, or of each.
    """
    scaled = np.where(allowed, logits.astype(np.float64) / np.reshape(temperature, (-1, 1)), -np.inf)
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    tokens, rows, nuclei = np.zeros(len(odds), np.int64), np.arange(len(odds)), np.broadcast_to(top_p, len(odds))
    for rare in (1 - np.minimum(nuclei, MOST_SORTED), np.zeros(len(odds))):
        lowest = rare[rows] / odds.shape[1]  # less likely tokens together have at most the probability `rare`
        drawn, certain = _sample_likely(odds[rows], lowest, uniform[rows], nuclei[rows])
        tokens[rows[certain]] = drawn[certain]
        rows = rows[~certain]
        if not len(rows):
            break
    return tokens


def _sample_likely(
    odds: Float64Array, lowest: Float64Array, uniform: Float64Array, top_p: Float64Array
) -> tuple[Int64Array, BoolArray]:
    """
    Draw a token per row from those with odds (batch, vocabulary) of at least `lowest`; return which draws are certain.

    A certain draw is the same with all tokens sorted.
    """
    row, token = np.nonzero(odds >= lowest[:, None])
    counts = np.bincount(row, minlength=len(odds))
    column = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    likely, order = np.zeros((len(odds), counts.max())), np.zeros((len(odds), counts.max()), np.int64)
    likely[row, column], order[row, column] = odds[row, token], token
    ranks, rows = np.argsort(-likely, axis=1, kind="stable"), np.arange(len(odds))
    likely = likely[rows[:, None], ranks]
    before = np.cumsum(likely, axis=1) - likely
    nucleus = np.where(before < top_p[:, None], likely, 0.0)
    cumulative = np.cumsum(nucleus, axis=1)
    closed = (lowest == 0) | (cumulative[:, -1] >= top_p)  # the nucleus ends among these
    mass = np.where(closed, cumulative[:, -1], 1.0)
    index = (cumulative <= (uniform * mass)[:, None]).sum(axis=1)
    last = (nucleus > 0).sum(axis=1) - 1
    index = np.minimum(index, last)
    certain: BoolArray = closed | ((top_p >= 1) & (index < last))
    return order[rows, ranks[rows, index]], certain
