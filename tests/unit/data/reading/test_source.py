"""Every format gives the same columns under the contract's names."""

import gzip
from pathlib import Path

import pytest
from tests.support.source_files import COPY, EVENTS, ORDERS, message, open_source, read, written

from adloom.errors import ConfigError


def test_a_csv_is_read_as_text_under_the_contracts_names(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "orders.csv", ORDERS), EVENTS, "events")
    assert rows.fillna("").to_dict("list") == {
        "user_id": ["ann", "bob"],
        "timestamp": ["2026-01-02", "2026-01-03"],
        "value": ["9.99", ""],
        "event": ["purchase", "purchase"],
    }


def test_columns_come_in_the_contracts_order_then_in_the_sources(tmp_path: Path) -> None:
    path = written(tmp_path, "orders.csv", "store;total;when;customer\nb;9.99;2026-01-02;ann\n")
    assert list(read(path, EVENTS, "events")) == ["user_id", "timestamp", "event", "value", "store"]


def test_a_missing_mapped_column_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "orders.csv", ORDERS.replace("total", "amount"))
    text = message(path, EVENTS, "events")
    for part in ("orders.csv (ingest.events)", "'total' for value", "customer, when, amount", "`columns`"):
        assert part in text


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    source = EVENTS.model_copy(update={"columns": {**EVENTS.columns, "quantitty": "total"}})
    with pytest.raises(ConfigError) as caught:
        read(written(tmp_path, "orders.csv", ORDERS), source, "events")
    message = str(caught.value)
    assert message.startswith("ingest.events: quantitty ")
    assert message.endswith("expected user_id, timestamp, event, item_id, quantity, value, currency, user_key")


def test_an_artifact_is_read_without_its_manifest(tmp_path: Path) -> None:
    for name in ("lines/a.csv", "lines/manifest.json"):
        written(tmp_path, name, "copy_id,text\n1,hello\n")
    assert read(tmp_path / "lines", COPY, "copy")["text"].tolist() == ["hello"]


@pytest.mark.parametrize(("other", "key"), [("text;category\na;b\n", "separator: "), ("text\ncaf\xe9\n", "encoding: ")])
def test_a_file_that_differs_from_the_others_need_not_set_the_key(tmp_path: Path, other: str, key: str) -> None:
    written(tmp_path, "a.csv", "text,category\nna\u00efve,x\n")
    written(tmp_path, "b.csv", other.encode("cp1252"))
    text = message(tmp_path, COPY, "copy")
    assert text.startswith(f"{tmp_path / 'b.csv'}: ")
    assert f"`{key}" in text
    assert "if it does not fit a.csv, convert this file, or move it to another source" in text


def test_files_without_rows_are_worth_a_warning(tmp_path: Path) -> None:
    for name, content in {"a": b"text\nx\n", "b": gzip.compress(b""), "c": b"\n\n", "d": b"text\n", "e": b""}.items():
        written(tmp_path, f"{name}.csv", content)
    reader = open_source(tmp_path, COPY, "copy")
    assert sum(map(len, reader.read_chunks())) == 1
    assert reader.warnings() == ["files without rows: b.csv, c.csv, d.csv"]  # e.csv of 0 bytes is not read
