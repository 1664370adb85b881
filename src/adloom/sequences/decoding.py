"""Draw token sequences from a model. NumPy only, so that serving needs no torch."""

from typing import Protocol, TypeVar

import numpy as np

from adloom.arrays import BoolArray, Float32Array, Float64Array, Int64Array

S = TypeVar("S")

SORTED_FIRST = 64  # likeliest tokens that are sorted at first


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


def decode_batch(
    model: SequenceModel[S],
    batch: int,
    constraint: Constraint,
    random: np.random.Generator,
    *,
    prefix: int,
    end: int,
    max_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> tuple[list[list[int]], int]:
    """
    Draw a batch of sequences after the token `prefix`.

    Return the sequences that ended, without prefix and end, and the number of steps.
    """
    token, state = np.full(batch, prefix, np.int64), model.start(batch)
    sequences: list[list[int]] = [[] for _ in range(batch)]
    ended, running = np.zeros(batch, np.bool_), np.arange(batch)
    steps = 0
    while len(running) and steps < max_tokens:
        steps += 1
        logits, state = model(token[:, None], state)
        uniform = random.random(batch)[running]
        drawn = sample_tokens(logits[running, -1], constraint.allowed(running), uniform, temperature, top_p)
        token[running], ended[running] = drawn, drawn == end
        for row, next_token in zip(running, drawn, strict=True):
            if next_token != end:
                sequences[row].append(int(next_token))
        running = running[constraint.update(running, drawn) & (drawn != end)]
    return [sequence for sequence, is_whole in zip(sequences, ended, strict=True) if is_whole], steps


def sample_tokens(
    logits: Float32Array, allowed: BoolArray, uniform: Float64Array, temperature: float = 1.0, top_p: float = 1.0
) -> Int64Array:
    """
    Draw one allowed token per row from logits (batch, vocabulary).

    `uniform` (batch,) in [0, 1) is the only randomness: the inverse distribution function is taken at it.
    """
    scaled = np.where(allowed, logits.astype(np.float64) / temperature, -np.inf)
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    tokens, rows = np.zeros(len(odds), np.int64), np.arange(len(odds))
    for count in (min(SORTED_FIRST, odds.shape[1]), odds.shape[1]):
        drawn, certain = _sample_likeliest(odds[rows], count, uniform[rows], top_p)
        tokens[rows[certain]] = drawn[certain]
        rows = rows[~certain]
        if not len(rows):
            break
    return tokens


def _sample_likeliest(
    odds: Float64Array, count: int, uniform: Float64Array, top_p: float
) -> tuple[Int64Array, BoolArray]:
    """
    Draw a token per row from its `count` likeliest of odds (batch, vocabulary), and return which draws are certain.

    A certain draw is the same with all tokens sorted.
    """
    whole = count == odds.shape[1]
    order = np.sort(np.argpartition(-odds, count - 1, axis=1)[:, :count])
    order = np.take_along_axis(order, np.argsort(-np.take_along_axis(odds, order, 1), axis=1, kind="stable"), 1)
    likeliest = np.take_along_axis(odds, order, axis=1)
    before = np.cumsum(likeliest, axis=1) - likeliest
    nucleus = np.where(before < top_p, likeliest, 0.0)
    cumulative = np.cumsum(nucleus, axis=1)
    closed = whole | (before[:, -1] >= top_p)  # the nucleus ends among these
    mass = np.where(closed, cumulative[:, -1], 1.0)
    index = (cumulative <= (uniform * mass)[:, None]).sum(axis=1)
    last = (nucleus > 0).sum(axis=1) - 1
    index = np.minimum(index, last)[:, None]
    likelier = np.take_along_axis(likeliest, index, axis=1)[:, 0] > likeliest[:, -1]  # equal ones may come first
    certain = whole | (likelier & (closed | ((top_p >= 1) & (index[:, 0] < last))))
    return np.take_along_axis(order, index, axis=1)[:, 0], certain
