"""The bits that a sequence model needs for lines of copy."""

from collections.abc import Sequence

import numpy as np

from adloom.arrays import Float64Array
from adloom.copywriting.tokenizer import Tokenizer
from adloom.sequences.decoding import S, SequenceModel

BATCH = 128  # lines scored at once


def line_bits(
    model: SequenceModel[S], tokenizer: Tokenizer, lines: Sequence[str], categories: Sequence[str | None]
) -> Float64Array:
    """
    Return the bits of each line (lines,), its end included, conditioned on its category.

    They are an upper bound, because only the tokenizer's own split is scored.
    """
    tokens = [tokenizer.encode_line(line, category) for line, category in zip(lines, categories, strict=True)]
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))  # similar lengths together need less padding
    bits = np.zeros(len(tokens))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        bits[batch] = _batch_bits(model, [tokens[i] for i in batch])
    return bits


def _batch_bits(model: SequenceModel[S], lines: Sequence[Sequence[int]]) -> Float64Array:
    lengths = np.array([len(line) for line in lines])
    real = np.arange(lengths.max()) < lengths[:, None]
    token = np.zeros(real.shape, np.int64)
    token[real] = np.concatenate(lines)
    logits, _ = model(token[:, :-1], model.start(len(lines)))
    target = np.take_along_axis(logits, token[:, 1:, None], axis=2)[..., 0].astype(np.float64)
    highest = logits.max(axis=2, keepdims=True)
    total = np.exp((logits - highest).astype(np.float64)).sum(axis=2)
    nats = np.log(total) + highest[..., 0] - target  # (lines, sequence)
    bits: Float64Array = np.where(real[:, 1:], nats, 0.0).sum(axis=1) / np.log(2)
    return bits
