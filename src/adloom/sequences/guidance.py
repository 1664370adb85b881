"""Classifier-free guidance (Ho & Salimans 2021): move sequences towards their prefix."""

from dataclasses import dataclass
from typing import Generic

import numpy as np

from adloom.arrays import Float32Array, Int64Array
from adloom.sequences.decoding import S, SequenceModel


@dataclass(frozen=True)
class Guided(Generic[S]):
    """A model that moves away from its own predictions after the prefix `begin`, which tells nothing."""

    model: SequenceModel[S]
    prefix: int  # of every sequence
    begin: int
    strength: float  # 0 leaves the model as it is

    def start(self, batch: int) -> S:
        """Return the state of both predictions before the first token."""
        return self.model.start(2 * batch)

    def __call__(self, token: Int64Array, state: S) -> tuple[Float32Array, S]:
        """Return logits (batch, sequence, vocabulary) and the next state."""
        plain = np.where(token == self.prefix, self.begin, token)
        logits, state = self.model(np.concatenate([token, plain]), state)
        conditional, unconditional = np.split(logits - np.logaddexp.reduce(logits, axis=2, keepdims=True), 2)
        return conditional + self.strength * (conditional - unconditional), state
