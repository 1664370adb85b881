"""Values of every notation become one type, or have a reason."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.raw_tables import EVENT, IMPRESSION, frame

from adloom.config.value_formats import NULL_WORDS, ValueFormat
from adloom.data import contracts
from adloom.data.privacy import normalise_user_id
from adloom.data.values import map_distinct


@pytest.mark.parametrize("candidates", ["a|b", '["a", "b"]', ["a", "b"], np.array(["a", "b"], object)])
def test_candidates_are_lists_in_every_notation(candidates: object) -> None:
    raw = frame({**IMPRESSION, "creative_id": "a"}, {}, {})
    raw = raw.assign(candidates=pd.Series([candidates, None], dtype="object"))
    rows, reasons = contracts.validate(raw, "impressions")
    assert list(rows["candidates"][0]) == ["a", "b"]
    assert rows["candidates"].isna()[1]
    assert list(reasons) == ["", ""]


@pytest.mark.parametrize(
    "candidates",
    [
        pa.array([["1", "2"]]),
        pa.array([[1, 2]], pa.large_list(pa.int64())),
        pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2)),
        pa.array([[1, 2]], pa.list_(pa.decimal128(5, 2))),
        pa.array([[1, 2]]).cast(pa.list_(pa.string())).cast(pa.list_(pa.large_string())),
        pa.array(["1|2"]).dictionary_encode(),
        pa.array([' [ "1", "2" ]'], pa.large_string()),
        pa.array(["[1, 2]"]),
        pa.array([" 1 | 2 |"]),
    ],
)
def test_candidates_of_any_type_are_names(candidates: pa.Array) -> None:
    raw = frame({**IMPRESSION, "creative_id": "2"}, {})
    rows, reasons = contracts.validate(raw.assign(candidates=pd.arrays.ArrowExtensionArray(candidates)), "impressions")
    assert list(rows["candidates"][0]) == ["1", "2"]
    assert list(reasons) == [""]


@pytest.mark.parametrize("candidates", ["[a|b", "['a', 'b']", "[null]", '[["a"]]', "[true]", '["a"', '["a"] b'])
def test_text_that_begins_as_a_list_but_is_none_breaks_the_row(candidates: str) -> None:
    raw = frame({**IMPRESSION, "creative_id": "a"}, {"candidates": candidates})
    assert list(contracts.validate(raw, "impressions")[1]) == ["candidates: not a list of names"]


@pytest.mark.parametrize("candidates", [pa.array([[None, "a"]]), pa.array([7]), pa.array([{"a": "a"}])])
def test_a_column_without_lists_of_names_breaks_the_row(candidates: pa.Array) -> None:
    raw = frame({**IMPRESSION, "creative_id": "a"}, {})
    raw = raw.assign(candidates=pd.arrays.ArrowExtensionArray(candidates))
    assert list(contracts.validate(raw, "impressions")[1]) == ["candidates: not a list of names"]


def test_an_empty_list_holds_no_creative() -> None:
    raw = frame({**IMPRESSION, "candidates": "[]"}, {})
    assert list(contracts.validate(raw, "impressions")[1]) == ["creative_id: not among the candidates"]


@pytest.mark.parametrize("word", ["NULL", "\\N", "None", " nan ", "N/A", "#N/A", "(not set)", "undefined", "-", "<NA>"])
def test_a_null_word_is_missing_in_every_type(word: str) -> None:
    optional = {"user_id": word, "position": word, "propensity": word, "candidates": word, "outcome_at": word}
    rows, reasons = contracts.validate(frame({**IMPRESSION, **optional, "clicked": "1"}, {}), "impressions")
    assert rows[list(optional)].isna().all(axis=None)
    assert list(reasons) == [""]
    broken = contracts.validate(frame(IMPRESSION, {"clicked": word}, {"placement": word}), "impressions")[1]
    assert list(broken) == ["clicked: missing", "placement: missing"]


def test_null_values_replace_the_words() -> None:
    base = {"copy_id": "1", "text": "-", "category": "None"}
    rows = contracts.validate(frame(base, {}), "copy")[0]
    assert rows["text"].tolist() == ["-"]  # a line of copy may be a word such as None
    assert rows["category"].isna().all()
    rows = contracts.validate(frame(base, {}), "copy", ValueFormat(null_values=["-"]))[0]
    assert rows["text"].isna().all()
    assert rows["category"].tolist() == ["None"]


def test_a_count_with_a_point_that_may_separate_thousands_breaks_the_row() -> None:
    raw = frame(IMPRESSION, {"position": "2.000"}, {"position": "2.0"}, {"position": "1.234"}, {"position": "1e300"})
    step = 'position: not a whole number; set decimal: "." or thousands: "."'
    assert list(contracts.validate(raw, "impressions")[1]) == [step, "", step, "position: not a whole number"]
    assert contracts.validate(raw, "impressions", ValueFormat(decimal="."))[0]["position"][0] == 2
    assert contracts.validate(raw, "impressions", ValueFormat(thousands="."))[0]["position"].tolist()[::2] == [
        2000,
        1234,
    ]


def test_users_of_a_float_column_are_those_of_the_integers() -> None:
    users = [pa.array(["42", None]), pa.array([42, None]), pa.array([42.0, None]), pa.array([42, None], pa.uint64())]
    users += [pa.array([42, None], pa.decimal128(9, 2)), pa.array(["42", None]).dictionary_encode()]
    for column in users:
        raw = frame(EVENT, {}, {}).assign(user_id=pd.arrays.ArrowExtensionArray(column))
        rows, reasons = contracts.validate(raw, "events")
        assert rows["user_id"][0] == "42"
        assert list(reasons) == ["", "user_id: missing"]


@settings(max_examples=50)
@given(st.lists(st.text(max_size=8) | st.uuids().map(str) | st.from_regex(r"-?[0-9]{1,3}\.0{0,2}", fullmatch=True)))
def test_users_of_a_table_are_normalised_as_serving_does(ids: list[str]) -> None:
    rows = contracts.validate(frame(EVENT, *({"user_id": text} for text in ["1", *ids])), "events")[0]
    expected = [None if text in NULL_WORDS else normalise_user_id(text) or None for text in ids]
    assert rows["user_id"].astype("object").where(rows["user_id"].notna(), None).tolist()[1:] == expected


def test_a_longer_id_than_requests_may_have_breaks_the_row() -> None:
    reasons = contracts.validate(frame(EVENT, {"user_id": "a" * 200 + " "}, {"user_id": "a" * 201}), "events")[1]
    assert list(reasons) == ["", "user_id: longer than 200 characters"]


def test_a_function_is_called_once_per_distinct_text() -> None:
    seen: list[str] = []

    def initial(text: str) -> str:
        seen.append(text)
        return text[0]

    mapped = map_distinct(pd.Series(["ann", "bob", None, "ann"], dtype="str"), initial)
    assert mapped.dropna().tolist() == ["a", "b", "a"]
    assert list(mapped.isna()) == [False, False, True, False]
    assert seen == ["ann", "bob"]
    assert map_distinct(pd.Series([None], dtype="str"), str.upper).isna().all()
