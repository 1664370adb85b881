"""The LSTM over items: sequences to train on, and scores of the next item."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adloom.arrays import Float32Array, Int32Array, Int64Array
from adloom.recommendation.interactions import UNKNOWN, Interactions

Encode = Callable[[Int64Array], Float32Array]  # tokens (batch, sequence) to features (batch, sequence, hidden)

BEGIN = 0  # token before the first item; an item's token is its number + 1


@dataclass(frozen=True)
class RecurrentScorer:
    """An LSTM that encodes the last items, and the embeddings that it compares them with."""

    encode: Encode
    embedding: Float32Array  # (items, hidden)
    bias: Float32Array  # (items,)
    length: int  # items that are encoded at most

    def score(self, histories: Sequence[Int32Array]) -> Float32Array:
        """Return the logits of the next item after each history (histories, items)."""
        logits: Float32Array = self._encode(histories) @ self.embedding.T + self.bias
        return logits

    @property
    def vectors(self) -> Float32Array:
        """The embeddings of the items with their biases (items, hidden + 1)."""
        return np.column_stack([self.embedding, self.bias])

    def embed(self, histories: Sequence[Int32Array]) -> Float32Array:
        """Return the features after each history, and 1 for the bias (histories, hidden + 1)."""
        features = self._encode(histories)
        return np.append(features, np.ones_like(features[:, :1]), axis=1)

    def _encode(self, histories: Sequence[Int32Array]) -> Float32Array:
        recent = [history[-self.length :] for history in histories]
        lengths = np.array([len(history) + 1 for history in recent])
        token = np.full((len(recent), lengths.max()), BEGIN, np.int64)
        for row, history in enumerate(recent):
            token[row, 1 : len(history) + 1] = history + 1
        features: Float32Array = self.encode(token)[np.arange(len(recent)), lengths - 1]
        return features

    def to_arrays(self) -> Mapping[str, Any]:
        """Return the arrays of a file."""
        return {"embedding": self.embedding, "bias": self.bias, "length": self.length}


def cut_sequences(interactions: Interactions, length: int) -> list[list[int]]:
    """Return each user's tokens in pieces of at most `length` targets."""
    known = interactions.keep(interactions.item != UNKNOWN)
    pieces: list[list[int]] = []
    for first, end in zip(known.starts[:-1], known.starts[1:], strict=True):
        tokens = [BEGIN, *(known.item[first:end] + 1).tolist()]
        pieces += [tokens[i : i + length + 1] for i in range(0, len(tokens) - 1, length)]
    return pieces
