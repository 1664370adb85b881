"""Bits of lines."""

from itertools import pairwise

import numpy as np
import pytest
from tests.support.toy_lines import LINES, Bigram, words

from adloom.copywriting.scoring import line_bits

WORDS = words()
NONE = [None] * len(LINES)


def test_a_model_that_knows_nothing_needs_the_logarithm_of_its_vocabulary_per_token() -> None:
    blind = Bigram(WORDS, lines=[])
    tokens = [len(WORDS.encode(line)) + 1 for line in LINES]  # and the end
    assert line_bits(blind, WORDS, LINES, NONE) == pytest.approx(np.array(tokens) * np.log2(WORDS.size), rel=1e-5)


def test_bits_do_not_depend_on_the_scale_of_the_logits() -> None:
    write = Bigram(WORDS, smoothing=0.1)
    tokens = WORDS.encode_line("Warm coat", "Coats")
    by_hand = -sum(write.table[a, b] for a, b in pairwise(tokens)) / np.log(2)
    write.table += 500  # a constant for all logits is no information
    assert line_bits(write, WORDS, ["Warm coat"], ["Coats"])[0] == pytest.approx(by_hand, rel=1e-4)


def test_order_and_batches_do_not_change_bits() -> None:
    write = Bigram(WORDS, smoothing=0.1)
    together = line_bits(write, WORDS, LINES * 40, NONE * 40)
    assert together[: len(LINES)].tolist() == [line_bits(write, WORDS, [line], [None])[0] for line in LINES]
    assert together.tolist() == together[: len(LINES)].tolist() * 40
