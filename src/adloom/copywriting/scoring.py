"""How many bits a model that continues tokens needs for given lines."""

from collections.abc import Sequence

import numpy as np

from adloom.arrays import Float64Array
from adloom.copywriting.tokenizer import Tokenizer
from adloom.sequences.decoding import S, SequenceModel

BATCH = 128  # lines scored at once


def line_bits(
    write: SequenceModel[S], tokenizer: Tokenizer, lines: Sequence[str], categories: Sequence[str | None]
) -> Float64Array:
    """
    Return the bits of each line (lines,), its end included, given its category.

    A line has several splittings into tokens; only the tokenizer's own is scored, so the bits are an upper bound.
    """
    tokens = [tokenizer.line(line, category) for line, category in zip(lines, categories, strict=True)]
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))  # like lengths together: less padding
    bits = np.zeros(len(tokens))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        bits[batch] = _batch_bits(write, [tokens[i] for i in batch])
    return bits


def _batch_bits(write: SequenceModel[S], lines: Sequence[Sequence[int]]) -> Float64Array:
    lengths = np.array([len(line) for line in lines])
    real = np.arange(lengths.max()) < lengths[:, None]
    token = np.zeros(real.shape, np.int64)
    token[real] = np.concatenate(lines)
    logits, _ = write(token[:, :-1], write.start(len(lines)))
    target = np.take_along_axis(logits, token[:, 1:, None], axis=2)[..., 0].astype(np.float64)
    highest = logits.max(axis=2, keepdims=True)
    total = np.exp((logits - highest).astype(np.float64)).sum(axis=2)
    nats = np.log(total) + highest[..., 0] - target  # (lines, sequence)
    bits: Float64Array = np.where(real[:, 1:], nats, 0.0).sum(axis=1) / np.log(2)
    return bits
