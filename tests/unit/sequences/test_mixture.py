"""The mixture of a network with n-grams: exact probabilities, step by step or at once, and fitted weights."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.toy_lines import LINES, Bigram, words

from adloom.arrays import Float32Array, Int64Array
from adloom.sequences import kneser_ney
from adloom.sequences.mixture import Mixture, TokenNgrams, fit_weights, load_mixture
from adloom.storage import npz

WORDS = words()
TOKENS = [WORDS.encode(line) for line in LINES]
POSSIBLE = WORDS.size - len(WORDS.special)
MODEL = kneser_ney.fit(TOKENS, 3, POSSIBLE)
NGRAMS = TokenNgrams.build(MODEL, WORDS.size, WORDS.special - {WORDS.end}, WORDS.end)


class Recorder:
    """A network without an opinion; its state lists the tokens that it read."""

    def start(self, batch: int) -> list[Int64Array]:
        return []

    def __call__(self, token: Int64Array, state: list[Int64Array]) -> tuple[Float32Array, list[Int64Array]]:
        return np.zeros((*token.shape, WORDS.size), np.float32), [*state, token]


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=8))
def test_ngrams_read_token_by_token_are_the_kneser_ney_model(text: str) -> None:
    line = WORDS.encode_line(text, "Coats")
    contexts, bits = NGRAMS.start(1), 0.0
    for token, target in pairwise(line):
        contexts = NGRAMS.advance(contexts, np.array([token]))
        probabilities = NGRAMS.probabilities(contexts)[0]
        assert probabilities.sum() == pytest.approx(1)
        bits -= float(np.log2(probabilities[target]))
    assert bits == pytest.approx(MODEL.line_bits([line[1:-1]])[0])


def test_the_mixture_is_the_weighted_mean_of_both() -> None:
    weights = np.array([0.9, 0.5, 0.1])
    mixture = Mixture(Recorder(), NGRAMS, weights)
    token = np.array([WORDS.encode_line(LINES[0], None)[:2], [WORDS.begin, WORDS.encode("?")[0]]])
    both, _ = mixture.predict(token, mixture.start(2))
    assert both.seen.tolist() == [[1, 2], [1, 0]]  # "?" is in no line
    logits, _ = mixture(token, mixture.start(2))
    expected = 0.1 / WORDS.size + 0.9 * both.ngrams[0, 1]
    assert np.exp(logits[0, 1]) == pytest.approx(expected, rel=1e-5)
    assert np.exp(logits).sum(axis=2) == pytest.approx(1, rel=1e-5)


def test_steps_give_what_the_whole_gives() -> None:
    mixture = Mixture(Bigram(WORDS), NGRAMS, np.full(3, 0.5))
    token = np.array([WORDS.encode_line("Lovely coat", "Coats")[:-1]])
    whole, _ = mixture(token, mixture.start(1))
    state, steps = mixture.start(1), []
    for column in token.T:
        logits, state = mixture(column[:, None], state)
        steps.append(logits)
    assert np.concatenate(steps, axis=1).tolist() == whole.tolist()


def test_a_saved_mixture_is_the_same_and_without_a_file_it_is_the_network(tmp_path: Path) -> None:
    mixture = Mixture(Bigram(WORDS), NGRAMS, np.array([0.2, 0.4, 0.6]))
    npz.save(tmp_path / "ngrams.npz", **mixture.to_arrays())
    loaded = load_mixture(Bigram(WORDS), tmp_path / "ngrams.npz")
    token = np.array([[WORDS.begin, *TOKENS[1]]])
    assert loaded(token, loaded.start(1))[0].tolist() == mixture(token, mixture.start(1))[0].tolist()
    network = Bigram(WORDS)
    assert load_mixture(network, tmp_path / "none.npz") is network


def test_weights_find_the_better_model_of_each_context() -> None:
    good, bad = np.full(500, 0.5), np.full(500, 0.01)
    network, ngrams = np.concatenate([good, bad]), np.concatenate([bad, good])
    low, high = fit_weights(network, ngrams, np.repeat([1, 0], 500), 2)
    assert (low, high) == pytest.approx((0, 1), abs=0.02)
    assert fit_weights(network, ngrams, np.zeros(1000, int), 1) == pytest.approx(0.5, abs=0.01)
    assert fit_weights(np.empty(0), np.empty(0), np.empty(0, int), 2).shape == (2,)
