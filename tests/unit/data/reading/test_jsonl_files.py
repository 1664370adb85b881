"""JSON Lines: nested values become columns, and a broken line stays alone."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.source_files import EVENTS, message, read, written

from adloom.data.contracts import PARSE_ERROR, PLACE
from adloom.data.reading import jsonl_files
from adloom.data.reading.jsonl_files import INVALID, parse_object
from adloom.data.reading.text_files import NUL

ORDERS = EVENTS.model_copy(
    update={"format": "jsonl", "columns": {"user_id": "user.id", "timestamp": "when", "value": "total"}}
)


def lines(*objects: Any) -> str:
    return "".join(json.dumps(value) + "\n" for value in objects)


FIRST = {"user": {"id": 7, "tags": ["a", "b"]}, "when": "2026-01-02"}
SECOND = {"user": {"id": 8}, "when": "2026-01-03", "total": 9.5, "paid": True}


def test_nested_objects_become_dotted_columns(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "orders.jsonl", lines(FIRST, SECOND)), ORDERS, "events")
    assert rows["user_id"].tolist() == [7, 8]
    assert rows["value"].fillna(0).tolist() == [0, 9.5]
    assert rows["user.tags"].fillna("").tolist() == ['["a", "b"]', ""]
    assert rows["paid"].fillna(False).tolist() == [False, True]


def test_a_key_may_be_absent_in_chunks_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_files, "ROWS_PER_CHUNK", 1)
    written(tmp_path, "a.jsonl.gz", gzip.compress(lines(FIRST, SECOND).encode()))
    written(tmp_path, "day=2/b.json", lines(FIRST))
    rows = read(tmp_path, ORDERS, "events")
    assert rows["value"].fillna(0).tolist() == [0, 9.5, 0]
    assert rows["day"].fillna("").tolist() == ["", "", "2"]


def test_a_key_absent_everywhere_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "orders.jsonl", lines(FIRST, FIRST))
    expected = "no line has total, only user.id, user.tags, when; change `columns`"
    assert expected in message(path, ORDERS, "events")


def test_a_file_without_objects_is_named(tmp_path: Path) -> None:
    assert INVALID in message(written(tmp_path, "orders.jsonl", "customer,when\n1,2\n"), ORDERS, "events")


def test_a_broken_line_breaks_no_other(tmp_path: Path) -> None:
    content = lines(FIRST) + '{"when": \n\n[1]\n' + lines(SECOND)
    rows = read(written(tmp_path, "orders.jsonl", content), ORDERS, "events")
    assert rows["user_id"].fillna(0).tolist() == [7, 0, 0, 8]
    assert rows[PARSE_ERROR].fillna("").tolist() == ["", INVALID, INVALID, ""]
    assert rows[PLACE].dropna().tolist() == ["orders.jsonl line 2", "orders.jsonl line 4"]


@pytest.mark.parametrize("content", ['[{"a": 1}]', '[\n{"a": 1}\n]', '{\n"a": 1}'])
def test_other_json_is_named(tmp_path: Path, content: str) -> None:
    path = written(tmp_path, "orders.json", content)
    assert "write one per line, as `jq -c` does" in message(path, ORDERS, "events")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"a": 1, "a": 2}', INVALID),
        ('{"a.b": 1, "a": {"b": 2}}', INVALID),
        ('{"a": Infinity}', INVALID),
        ('{"a": "\\ud83d"}', INVALID),
        ('{"a": "\\u0000"}', NUL),
        ('{"a": ' * 2000 + "1" + "}" * 2000, INVALID),
    ],
)
def test_an_object_with_two_meanings_is_broken(text: str, error: str) -> None:
    assert parse_object(text) == ({}, error)


def test_nan_is_missing_and_large_numbers_stay_whole() -> None:
    assert parse_object('{"a": NaN, "b": 123456789012345678901234567890}')[0] == {
        "a": None,
        "b": 123456789012345678901234567890,
    }


def test_keys_that_are_data_do_not_become_columns_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_files, "MAX_COLUMNS", 5)
    counts = {"counts": {f"item-{number}": number for number in range(100)}}
    rows = read(written(tmp_path, "orders.jsonl", lines(counts | FIRST | SECOND)), ORDERS, "events")
    assert rows["value"].tolist() == [9.5]
    assert len(rows.columns) == 5 + len(["user_id", "timestamp", "value", "event"])


@settings(max_examples=50)
@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()))
def test_flat_objects_are_read_as_written(row: dict[str, Any]) -> None:
    text = json.dumps(row, ensure_ascii=False)
    assert parse_object(text) == (row, "") or "\\u0000" in text
