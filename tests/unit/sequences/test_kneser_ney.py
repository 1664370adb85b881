"""Modified Kneser-Ney: hand-worked numbers, then that every context's distribution is one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.sequences import kneser_ney
from adloom.sequences.kneser_ney import END, START, UNICODE, UNSEEN, KneserNey

# Bigrams ^a 3, a$ 2, ab 1, b$ 1 and continuations a 1, b 1, $ 2: in both orders the counts of counts are too few, so
# the discounts are 0.5, 1 and 1.5. Below unigrams each of a, b, $ and unseen has 1/4.
#   P(a) = P(b) = 0.5/4 + 0.5/4 = 0.25, P($) = 1/4 + 0.5/4 = 0.375, P(unseen) = 0.5/4 = 0.125
#   P(a|^) = 1.5/3 + 0.5·0.25 = 0.625 · P($|a) = 1/3 + 0.5·0.375 · P(b|a) = 0.5/3 + 0.5·0.25
#   P($|b) = 0.5 + 0.5·0.375 = 0.6875
TINY = ["a", "a", "ab"]
LINES = ["Lovely dress", "Lovely top!", "Great top", "Great dress", "So soft", "so soft!", "Ünique", "", "Lovely dress"]


@pytest.fixture(scope="module")
def model() -> KneserNey[str]:
    return kneser_ney.fit(LINES, 5)


def test_bits_of_a_corpus_worked_by_hand() -> None:
    a, ab, b = kneser_ney.fit(TINY, 2).line_bits(["a", "ab", "b"])
    assert 2**-a == pytest.approx(0.625 * (1 / 3 + 0.1875))
    assert 2**-ab == pytest.approx(0.625 * (1 / 6 + 0.125) * 0.6875)
    assert 2**-b == pytest.approx((0.5 * 0.25) * 0.6875)


def test_a_character_never_seen_is_one_of_all_others_of_unicode() -> None:
    (z,) = kneser_ney.fit(TINY, 2).line_bits(["z"])
    assert 2**-z == pytest.approx(0.5 * 0.125 / (UNICODE - 2) * 0.375)  # after z nothing is known but unigrams


def test_tokens_are_symbols_like_characters() -> None:
    tokens = [[ord(character) for character in line] for line in TINY]
    assert kneser_ney.fit(tokens, 2).line_bits(tokens).tolist() == kneser_ney.fit(TINY, 2).line_bits(TINY).tolist()
    (unseen,) = kneser_ney.fit(tokens, 2, possible=5).line_bits([[7]])  # one of the three that are not a or b
    assert 2**-unseen == pytest.approx(0.5 * 0.125 / 3 * 0.375)
    assert np.isfinite(kneser_ney.fit(tokens, 2, possible=2).line_bits(tokens)).all()


def test_discounts_by_the_equation() -> None:
    counts = np.repeat([1, 2, 3, 4, 9], [10, 5, 3, 2, 4])  # Y = 10 / (10 + 2·5) = 0.5
    assert kneser_ney.estimate_discounts(counts) == pytest.approx([0, 1 - 5 / 10, 2 - 1.5 * 3 / 5, 3 - 2 * 2 / 3])


@pytest.mark.parametrize("counts", [[1, 1, 1], [1, 2, 3], [1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4]])
def test_too_few_counts_take_the_plain_discounts(counts: list[int]) -> None:
    assert kneser_ney.estimate_discounts(np.array(counts)).tolist() == [0, 0.5, 1, 1.5]


@given(st.text("Lovelydrsgat !Ü\N{SNOWMAN}", max_size=12))
def test_each_context_has_a_distribution(text: str) -> None:
    model = kneser_ney.fit(LINES, 5)
    probability = model.next_probabilities(history(model, text))
    assert probability.sum() == pytest.approx(1)
    assert (np.delete(probability[0], START) > 0).all()


@given(st.text("Lovelydrstp !Ü", max_size=12))
def test_a_line_is_the_product_of_its_symbols(text: str) -> None:
    model = kneser_ney.fit(LINES, 4)
    symbols = [*history(model, text)[0, 1:].tolist(), END]
    steps = [model.next_probabilities(history(model, text[:i]))[0, symbol] for i, symbol in enumerate(symbols)]
    assert model.line_bits([text])[0] == pytest.approx(-sum(map(math.log2, steps)))


def test_lines_do_not_touch_their_neighbours(model: KneserNey[str]) -> None:
    together = model.line_bits(LINES)
    assert together.tolist() == [model.line_bits([line])[0] for line in LINES]


def test_an_order_above_every_line_length_changes_nothing() -> None:
    assert kneser_ney.fit(TINY, 4).line_bits(TINY).tolist() == kneser_ney.fit(TINY, 9).line_bits(TINY).tolist()


def test_sampled_lines_come_as_often_as_they_are_likely() -> None:
    model = kneser_ney.fit(TINY, 2)
    lines = ["".join(line) for line in model.sample(4000, seed=1, max_length=50)]
    known = 1 - model.next_probabilities(history(model, ""))[0, UNSEEN]  # unseen characters are not drawn
    share = lines.count("a") / len(lines)
    after_a = 1 - model.next_probabilities(history(model, "a"))[0, UNSEEN]
    assert share == pytest.approx(2 ** -model.line_bits(["a"])[0] / known / after_a, abs=0.03)
    assert lines == ["".join(line) for line in model.sample(4000, seed=1, max_length=50)]
    assert max(map(len, model.sample(50, seed=1, max_length=3))) <= 3


def test_no_lines_are_refused() -> None:
    with pytest.raises(ValueError, match="no lines to fit on"):
        kneser_ney.fit([], 5)


def history(model: KneserNey[str], text: str) -> np.ndarray:
    """The symbols of a text that is still being written: (1, length)."""
    symbol = {character: i for i, character in enumerate(model.alphabet, UNSEEN + 1)}
    return np.array([[START, *(symbol.get(character, UNSEEN) for character in text)]])


def test_the_size_of_chunks_changes_nothing(model: KneserNey[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kneser_ney, "CHUNK", 10)
    chunked = kneser_ney.fit(LINES, 5)
    assert [table.keys.tolist() for table in chunked.orders] == [table.keys.tolist() for table in model.orders]
    assert chunked.line_bits(LINES).tolist() == model.line_bits(LINES).tolist()
