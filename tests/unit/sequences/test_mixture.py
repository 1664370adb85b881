"""The mixture of a network with n-grams: exact probabilities, step by step or at once, and fitted exponents."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.toy_lines import LINES, Bigram, words

from adloom.arrays import Float32Array, Float64Array, Int64Array
from adloom.errors import ArtifactError
from adloom.sequences import kneser_ney
from adloom.sequences.mixture import MAX_EXPONENT, Mixture, ScoredLines, TokenNgrams, fit_exponents, load_mixture
from adloom.storage import npz

WORDS = words()
TOKENS = [WORDS.encode(line) for line in LINES]
POSSIBLE = WORDS.size - len(WORDS.special)
MODEL = kneser_ney.fit(TOKENS, 3, POSSIBLE)
NGRAMS = TokenNgrams.build(MODEL, WORDS.size, WORDS.special - {WORDS.end}, WORDS.end)


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=8))
def test_ngrams_read_token_by_token_are_the_kneser_ney_model(text: str) -> None:
    line = WORDS.encode_line(text, "Coats")
    contexts, bits = NGRAMS.start(1), 0.0
    for token, target in pairwise(line):
        contexts = NGRAMS.advance(contexts, np.array([token]))
        probabilities = NGRAMS.probabilities(contexts[:, 0].tolist())
        assert probabilities.sum() == pytest.approx(1)
        bits -= float(np.log2(probabilities[target]))
    assert bits == pytest.approx(MODEL.line_bits([line[1:-1]])[0])


def test_the_mixture_is_the_product_of_both_with_their_exponents() -> None:
    mixture = Mixture(Bigram(WORDS), NGRAMS, np.array([0.5, 2.0]))
    token = np.array([WORDS.encode_line(LINES[0], None)[:2]])
    logits, _ = mixture(token, mixture.start(1))
    network, _ = mixture.network(token, mixture.network.start(1))
    contexts = NGRAMS.start(1)
    for column in token.T:
        contexts = NGRAMS.advance(contexts, column)
    expected = np.exp(network[0, 1]) ** 0.5 * NGRAMS.probabilities(contexts[:, 0].tolist()) ** 2
    odds = np.exp(logits[0, 1].astype(np.float64))
    assert odds / odds.sum() == pytest.approx(expected / expected.sum(), abs=1e-6)


def test_steps_give_what_the_whole_gives() -> None:
    mixture = Mixture(Bigram(WORDS), NGRAMS, np.full(2, 0.5))
    token = np.array([WORDS.encode_line("Lovely coat", "Coats")[:-1]])
    whole, _ = mixture(token, mixture.start(1))
    state, steps = mixture.start(1), []
    for column in token.T:
        logits, state = mixture(column[:, None], state)
        steps.append(logits)
    assert np.concatenate(steps, axis=1).tolist() == whole.tolist()


def test_a_saved_mixture_is_the_same_and_without_a_file_it_is_the_network(tmp_path: Path) -> None:
    mixture = Mixture(Bigram(WORDS), NGRAMS, np.array([0.2, 0.4]))
    npz.save(tmp_path / "ngrams.npz", **mixture.to_arrays())
    loaded = load_mixture(Bigram(WORDS), tmp_path / "ngrams.npz")
    token = np.array([[WORDS.begin, *TOKENS[1]]])
    assert loaded(token, loaded.start(1))[0].tolist() == mixture(token, mixture.start(1))[0].tolist()
    network = Bigram(WORDS)
    assert load_mixture(network, tmp_path / "none.npz") is network


def test_a_file_of_an_older_release_is_refused(tmp_path: Path) -> None:
    arrays = Mixture(Bigram(WORDS), NGRAMS, np.array([0.2, 0.4])).to_arrays()
    npz.save(tmp_path / "ngrams.npz", **{name: arrays[name] for name in arrays.keys() - {"exponents"}})
    with pytest.raises(ArtifactError, match="ngrams.npz: no exponents.*; train the model again"):
        load_mixture(Bigram(WORDS), tmp_path / "ngrams.npz")


def score(network: Float32Array, ngrams: Float32Array, token: Int64Array) -> ScoredLines:
    """Return tokens that are lines of their own."""
    return ScoredLines((network, ngrams), token, np.arange(len(token)))


def fit_free(network: Float32Array, ngrams: Float32Array, token: Int64Array) -> Float64Array:
    lines = score(network, ngrams, token)
    return fit_exponents(lines, lines, limit=len(token))


def test_the_exponents_find_the_better_model() -> None:
    target = np.random.default_rng(0).integers(0, 4, 500)
    knowing, ignorant = np.log(0.1 + 0.6 * np.eye(4, dtype=np.float32)[target]), np.zeros((500, 4), np.float32)
    right = knowing - np.log(np.exp(knowing).sum(axis=1, keepdims=True))
    drawn = np.array([np.random.default_rng(i).choice(4, p=np.exp(row)) for i, row in enumerate(right)])
    assert fit_free(right, ignorant, drawn)[0] == pytest.approx(1, abs=0.15)  # its probabilities are true
    assert fit_free(ignorant, right, drawn)[1] == pytest.approx(1, abs=0.15)
    assert sum(fit_free(right, right, drawn)) == pytest.approx(1, abs=0.15)  # equal ones share


def test_exponents_are_bounded_where_nothing_is_surprising() -> None:
    certain = np.tile(np.array([10.0, 0.0], np.float32), (5, 1))
    assert (fit_free(certain, certain, np.zeros(5, int)) <= MAX_EXPONENT).all()
    assert fit_free(certain, certain, np.ones(5, int)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("limit", [0.6, 0.8, 1.0])
def test_training_lines_stay_as_rare_as_the_limit_says(limit: float) -> None:
    """Two models agree on one line of two tokens: their product has more of it than 0.8 x 0.8 of each."""
    model = np.log(np.tile(np.array([0.8, 0.2], np.float32), (2, 1)))
    lines = score(model, model, np.zeros(2, int))
    training = ScoredLines((model, model), np.zeros(2, int), np.zeros(2, int))
    (value,), _ = training.log_probability(fit_exponents(lines, training, limit))
    free = (4**4 / (4**4 + 1)) ** 2  # of the highest exponents, 2 and 2
    assert np.exp(value) == pytest.approx(min(limit, free), abs=1e-6)


def test_the_gradient_of_lines_is_that_of_differences() -> None:
    rng = np.random.default_rng(1)
    lines = ScoredLines(
        tuple(rng.normal(size=(2, 5, 3)).astype(np.float32)), rng.integers(0, 3, 5), np.array([0, 0, 1, 1, 1])
    )
    at, step = np.array([0.4, 0.7]), 1e-4
    _, gradient = lines.log_probability(at)
    for k, change in enumerate(step * np.eye(2)):
        above, below = (lines.log_probability(at + sign * change)[0] for sign in (1, -1))
        assert gradient[:, k] == pytest.approx((above - below) / (2 * step), abs=1e-3)
