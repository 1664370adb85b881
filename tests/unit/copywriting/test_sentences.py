"""Sentences of prepared bodies."""

import pandas as pd

from adloom.copywriting.sentences import list_sentences


def test_repeated_sentences_count_once_and_tables_without_bodies_have_none() -> None:
    assert list_sentences(pd.DataFrame({"body": ["Yes\nSo soft!\nYes", None, "Yes"]})) == ["Yes", "So soft!"]
    assert list_sentences(pd.DataFrame({"text": ["a"]})) == []
