"""Bits of token sequences."""

import numpy as np
import pytest
from tests.support.toy_tunes import NOTES, Uniform

from adloom.sequences import scoring
from adloom.sequences.scoring import sequence_bits


def test_a_model_without_preference_needs_equal_bits_per_token(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = [[0, 5, 6, 1], [0, 1], [0, 7, 7, 7, 7, 1]]
    bits = sequence_bits(Uniform(), sequences)
    assert bits == pytest.approx(np.array([3, 1, 5]) * np.log2(NOTES.size))
    monkeypatch.setattr(scoring, "BATCH", 1)
    assert sequence_bits(Uniform(), sequences).tolist() == bits.tolist()
