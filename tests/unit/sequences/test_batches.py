"""Batches of token sequences."""

import numpy as np
from tests.support.toy_lines import LINES, words

from adloom.sequences.batches import TokenDataset

WORDS = words()


def rows() -> TokenDataset:
    return TokenDataset([WORDS.encode_line(line, "Coats") for line in LINES], [len(line) + 1 for line in LINES])


def test_a_batch_holds_lines_padded_to_its_longest() -> None:
    batch = rows()[np.array([0, 1])]
    first, second = (WORDS.encode_line(line, "Coats") for line in LINES[:2])
    assert batch.token.shape == batch.target.shape == batch.real.shape == (2, max(len(first), len(second)) - 1)
    assert batch.real.sum(dim=1).tolist() == [len(first) - 1, len(second) - 1]
    assert batch.target[0][batch.real[0]].tolist() == first[1:]
    assert int(batch.characters) == len(LINES[0]) + len(LINES[1]) + 2
