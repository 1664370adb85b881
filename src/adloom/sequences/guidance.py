"""Classifier-free guidance (Ho & Salimans 2021): move sequences towards their prefix."""

import numpy as np

from adloom.arrays import Float32Array, Float64Array, Int64Array


def guide(logits: Float32Array, guided: Int64Array, strength: Float64Array) -> Float32Array:
    """
    Return the logits (rows, vocabulary), moved away from the predictions without the prefix.

    The last rows of `logits` predict without the prefix; each belongs to one of `guided`, the guided rows.
    """
    rows = len(logits) - len(guided)
    if not len(guided):
        return logits
    conditional, unconditional = normalize(logits[guided]), normalize(logits[rows:])
    result = logits[:rows].copy()
    result[guided] = conditional + strength.astype(np.float32)[:, None] * (conditional - unconditional)
    return result


def normalize(logits: Float32Array) -> Float32Array:
    """Return the logarithms of the probabilities (rows, vocabulary)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    normalized: Float32Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalized
