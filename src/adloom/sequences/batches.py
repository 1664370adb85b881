"""Training rows of the sequence model: padded token sequences."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from adloom.arrays import Int64Array


class Batch(NamedTuple):
    """Token sequences, padded to the longest."""

    token: Tensor  # (batch, sequence) int64: prefix and tokens
    target: Tensor  # (batch, sequence) int64: tokens and end
    real: Tensor  # (batch, sequence) bool: what is not padding
    characters: Tensor  # () int64: characters of these sequences, ends included


class TokenDataset:
    """Token sequences as rows to train on, with the number of characters of each."""

    def __init__(self, sequences: Sequence[Sequence[int]], characters: Sequence[int]) -> None:
        lengths = np.array([len(sequence) for sequence in sequences])
        self.tokens = np.zeros((len(sequences), lengths.max()), np.int64)
        self.real = np.arange(lengths.max()) < lengths[:, None]
        self.tokens[self.real] = np.concatenate(sequences)
        self.characters = np.asarray(characters)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: Int64Array) -> Batch:
        """Return the batch of these rows."""
        real = self.real[rows]
        real = real[:, : real.sum(axis=1).max()]
        tokens = torch.from_numpy(self.tokens[rows, : real.shape[1]])
        count = torch.tensor(int(self.characters[rows].sum()))
        return Batch(tokens[:, :-1], tokens[:, 1:], torch.from_numpy(real[:, 1:]), count)
