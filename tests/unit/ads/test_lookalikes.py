"""Banned words are found however their letters are written."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.ads.lookalikes import find_word

WORDS = ("best", "free", "instant", "100%", "RivalCo", "lowest price", "für immer", "лучший")


@pytest.mark.parametrize(
    "text",
    [
        "Best@home",
        "the \u0412\u0435\u0455t bag",  # Cyrillic
        "\u03f1 fr\u0435\u0435",  # Greek and Cyrillic
        "\u039d\u03b5w and \u0392\u03b5s\u03c4",  # Greek
        "\uff26\uff32\uff25\uff25",  # full-width
        "\U0001d41b\U0001d41e\U0001d42c\U0001d42d",  # mathematical bold
        "fr33 bags",
        "b3$t",
        "b\u0332e\u0332s\u0332t\u0332",  # underlined by combining marks
        "lnstant",  # a small L
        "INSTANT",
        "1nst4nt",
        "1OO%",
        "100% wool",
        "R1valC0",
        "low\u200best\u00a0pr\u0456ce",
        "FÜR IMMER",
        "ЛУЧШИЙ",
    ],
)
def test_a_word_in_other_letters_is_found(text: str) -> None:
    assert find_word(WORDS, text) is not None


@pytest.mark.parametrize(
    "text", ["", "bestow freely", "1000% ", "instantly", "fur immer", "Besuch bei 7 Freunden", "ß"]
)
def test_other_texts_pass(text: str) -> None:
    assert find_word(WORDS, text) is None


def test_the_word_is_named_as_the_text_writes_it() -> None:
    assert find_word(["free"], "Now \uff26\uff3233!") == "FR33"


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_plain_word_is_found_between_any_texts(before: str, after: str) -> None:
    found = find_word(["bag"], f"{before} bag {after}")
    assert found is not None
    assert unicodedata.normalize("NFKC", found) == found
