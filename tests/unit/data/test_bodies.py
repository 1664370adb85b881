"""Bodies of copy: sentences of training rows, written as lines are, and none that another split holds back."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from adloom.data import splits
from adloom.data.bodies import keep_training_sentences


def split_of(text: str) -> str:
    return str(splits.split_by_hash([splits.hash_content(splits.normalise_text(text).encode())])[0])


def keep(*bodies: str | None, split: str = "train") -> list[str]:
    """Return all sentences that remain."""
    rows = pd.DataFrame({"body": pd.Series(bodies, dtype="str")}).assign(split=split)
    return [sentence for body in keep_training_sentences(rows).dropna() for sentence in body.split("\n")]


def test_bodies_become_sentences_without_their_full_stops() -> None:
    body = "i love it. so soft! and\nwarm, at 5.5 inches... is it new?  yes."
    sentences = ["I love it", "So soft!", "And", "Warm, at 5.5 inches...", "Is it new?", "Yes"]
    assert keep(body) == [sentence for sentence in sentences if split_of(sentence) == "train"]
    assert len(keep(body)) >= 3


def test_rows_of_other_splits_and_rows_without_text_have_no_body() -> None:
    assert keep("I love it") == ["I love it"]
    assert keep("I love it", split="test") == keep("I love it", split="validation") == keep(None, "", " . ") == []


@given(st.lists(st.text("abc .!\n", max_size=30), max_size=20))
def test_no_sentence_is_a_line_that_another_split_holds_back(bodies: list[str]) -> None:
    assert all(split_of(sentence) == "train" for sentence in keep(*bodies))
