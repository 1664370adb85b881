"""Mixing: the n-grams take over from a network that knows less, and a good network keeps its weight."""

import numpy as np
import pytest
from tests.support.toy_lines import LINES, Bigram, words

from adloom.arrays import Float32Array, Int64Array
from adloom.copywriting.mixing import mix
from adloom.copywriting.scoring import line_bits
from adloom.sequences.mixture import Mixture

WORDS = words()
HELD = ["Warm coat", "Lovely warm dress", "Soft coat"]
NONE: list[str | None] = [None] * len(HELD)


class Ignorant(Bigram):
    """A network without an opinion."""

    def __call__(self, token: Int64Array, state: int) -> tuple[Float32Array, int]:
        return np.zeros((*token.shape, WORDS.size), np.float32), state


def test_the_better_model_decides_and_the_mixture_is_no_worse() -> None:
    knowing = Bigram(WORDS, HELD, smoothing=1e-3)
    shares = []
    for network in (Ignorant(WORDS), knowing):
        mixture = mix(network, WORDS, LINES, HELD, NONE)
        mixed, alone = line_bits(mixture, WORDS, HELD, NONE).sum(), line_bits(network, WORDS, HELD, NONE).sum()
        assert mixed <= alone
        ours, theirs = mixture.exponents
        shares.append(ours / (ours + theirs))
    assert shares[0] < shares[1]
    assert shares[1] > 0.6


def test_categories_reach_the_network() -> None:
    mixtures = [mix(Bigram(WORDS), WORDS, LINES, HELD, [name] * len(HELD)) for name in (None, "Coats")]
    assert mixtures[0].exponents == pytest.approx(mixtures[1].exponents, abs=1e-6)  # a bigram knows both the same way


def test_the_mixture_copies_no_more_than_the_ngrams() -> None:
    """A network that learned the training lines by heart makes them likelier; the exponents make up for it."""
    memorised = Bigram(WORDS, LINES, smoothing=1e-6)
    mixture = mix(memorised, WORDS, LINES, HELD, NONE)
    ngrams = Mixture(memorised, mixture.ngrams, np.array([0.0, 1.0]))
    ours, theirs = (np.exp2(-line_bits(one, WORDS, LINES, [None] * len(LINES))).sum() for one in (mixture, ngrams))
    assert ours <= theirs * 1.001


def test_other_sentences_help_to_predict_lines() -> None:
    alone, helped = (mix(Ignorant(WORDS), WORDS, LINES, HELD, NONE, sentences) for sentences in ((), HELD * 3))
    assert line_bits(helped, WORDS, HELD, NONE).sum() < line_bits(alone, WORDS, HELD, NONE).sum()
