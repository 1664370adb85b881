"""The bits that a sequence model needs for token sequences."""

from collections.abc import Iterator, Sequence

import numpy as np

from adloom.arrays import BoolArray, Float64Array, Int64Array
from adloom.sequences.decoding import S, SequenceModel

BATCH = 128  # sequences scored at once
BATCH_TOKENS = 8192  # of these sequences together, padding included


def sequence_bits(model: SequenceModel[S], sequences: Sequence[Sequence[int]]) -> Float64Array:
    """Return the bits of each sequence (sequences,) after its first token."""
    bits = np.zeros(len(sequences))
    for rows, token, real in iterate_batches(sequences):
        bits[rows] = _batch_bits(model, token, real)
    return bits


def iterate_batches(sequences: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Int64Array, BoolArray]]:
    """Yield rows, padded tokens (rows, sequence) and what is no padding; sequences of similar lengths are together."""
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    while order:
        longest = len(sequences[order[min(BATCH, len(order)) - 1]])
        count = min(BATCH, max(BATCH_TOKENS // longest, 1))
        rows, order = order[:count], order[count:]
        lengths = np.array([len(sequences[i]) for i in rows])
        real = np.arange(lengths.max()) < lengths[:, None]
        token = np.zeros(real.shape, np.int64)
        token[real] = np.concatenate([sequences[i] for i in rows])
        yield rows, token, real


def _batch_bits(model: SequenceModel[S], token: Int64Array, real: BoolArray) -> Float64Array:
    logits, _ = model(token[:, :-1], model.start(len(token)))
    target = np.take_along_axis(logits, token[:, 1:, None], axis=2)[..., 0].astype(np.float64)
    highest = logits.max(axis=2, keepdims=True)
    total = np.exp((logits - highest).astype(np.float64)).sum(axis=2)
    nats = np.log(total) + highest[..., 0] - target  # (sequences, sequence)
    bits: Float64Array = np.where(real[:, 1:], nats, 0.0).sum(axis=1) / np.log(2)
    return bits
