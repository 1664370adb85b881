"""Parquet files keep their types, and give text for ids and lists however they are stored."""

import datetime
import decimal
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.source_files import message, open_source, read, written

from adloom.config.sources import Source
from adloom.data.reading import parquet_files

SOURCE = Source(uri="events", format="parquet", columns={"user_id": "u"}, constants={"event": "view"})
IMPRESSIONS = Source(uri="i", format="parquet", constants={"placement": "p", "creative_id": "c", "clicked": 0})
ID = bytes(range(16))


def write(folder: Path, name: str = "a.parquet", **columns: Any) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    rows = len(next(iter(columns.values())))
    pq.write_table(pa.table({"timestamp": ["2026-01-02"] * rows, **columns}), path)
    return path


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    amounts = pa.array([decimal.Decimal("1.50"), None], pa.decimal256(40, 2))
    write(tmp_path, u=pa.array([7, None]), value=amounts, day=pa.array([datetime.date(2026, 1, 2)] * 2))
    rows = read(tmp_path, SOURCE, "events")
    kinds = {"user_id": pa.int64(), "value": pa.decimal256(40, 2), "day": pa.date32()}
    assert {name: rows[name].dtype for name in kinds} == {name: pd.ArrowDtype(kind) for name, kind in kinds.items()}


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([ID, None], pa.binary(16)), ID.hex()),
        (pa.array([ID, None], pa.uuid()), str(uuid.UUID(bytes=ID))),
        (pa.array([b"\x00\xff", None], pa.binary()), "00ff"),
        (pa.array([b"\x00\x01", None], pa.large_binary()), "0001"),
        (pa.array([b"EUR", None], pa.binary(3)), "EUR"),
        (pa.array(["ünn".encode(), None], pa.binary()), "ünn"),
        (pa.array([b"ann", None], pa.binary_view()), "ann"),
        (pa.array(["ann", None], pa.string_view()), "ann"),
        (pa.array(["ann", None], pa.large_string()), "ann"),
        (pa.array(["ann", None]).dictionary_encode(), "ann"),
    ],
)
def test_ids_of_every_type_are_text(tmp_path: Path, ids: pa.Array, expected: str) -> None:
    rows = read(write(tmp_path, u=ids), SOURCE, "events")
    assert rows["user_id"].dtype == pd.ArrowDtype(pa.string())
    assert rows["user_id"].fillna("").tolist() == [expected, ""]


def test_binary_ids_are_hex_in_every_file_if_one_is_no_text(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", u=pa.array([b"ann"]))
    write(tmp_path, "b.parquet", u=pa.array([b"\xff"]))
    assert read(tmp_path, SOURCE, "events")["user_id"].tolist() == ["616e6e", "ff"]


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        (pa.array([["a", "b"], None], pa.list_(pa.string_view())), ["a", "b"]),
        (pa.array([[b"a"], None], pa.large_list(pa.binary())), ["a"]),
        (pa.array([[1, 2], None], pa.list_(pa.int16())), ["1", "2"]),
        (pa.array([["a"], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))), ["a"]),
        (pa.array(['["a"]', None], pa.json_()), '["a"]'),
        (pa.array([b'["a"]', None], pa.binary()), '["a"]'),
    ],
)
def test_lists_are_lists_of_text_or_text_in_json(tmp_path: Path, candidates: pa.Array, expected: object) -> None:
    first, second = read(write(tmp_path, candidates=candidates), IMPRESSIONS, "impressions")["candidates"]
    assert (list(first) if isinstance(expected, list) else first) == expected
    assert second is None or second is pd.NA


def test_nested_and_binary_columns_that_are_not_used_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, u=["ann"], extra=[{"a": 1}], tags=[["x"]], blob=[b"\xff"], phone=["1"])
    assert list(read(path, SOURCE, "events")) == ["user_id", "timestamp", "event", "phone"]


def test_fields_of_structs_are_columns(tmp_path: Path) -> None:
    source = SOURCE.model_copy(update={"columns": {"user_id": "user.key.id", "item_id": "item.id"}})
    users = [{"key": {"id": b"\xff"}, "name": "ann"}, None]
    path = write(tmp_path, user=users, item=[{"id": "a"}, {"id": None}])
    rows = read(path, source, "events")
    assert rows[["user_id", "item_id"]].fillna("").values.tolist() == [["ff", "a"], ["", ""]]
    assert set(rows) == {"user_id", "item_id", "timestamp", "event"}


def test_pictures_in_structs_stay_bytes(tmp_path: Path) -> None:
    table = pa.table({"image": [{"bytes": b"\xff", "path": "1.png"}], "label": [3]})
    pq.write_table(table, tmp_path / "a.parquet")
    source = Source(uri="a", format="parquet", columns={"image": "image.bytes", "category": "label"})
    assert read(tmp_path / "a.parquet", source, "creatives")["image"].tolist() == [b"\xff"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([{"a": 1, "b": 2}], "column u is a struct; name one of its fields under `columns`: u.a, u.b"),
        ([["ann"]], "column u is list<item: string>, expected one value a row"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), "column u is map<string, int8"),
    ],
)
def test_a_nested_column_that_is_used_is_refused_by_name(tmp_path: Path, values: Any, reason: str) -> None:
    path = write(tmp_path, u=values)
    assert message(path, SOURCE, "events").replace("element:", "item:").startswith(f"{path}: {reason}")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (
            pa.float32(),
            "float, expected a time with its date; it rounds seconds since 1970 to minutes; export it as int64",
        ),
        (pa.time64("us"), "time64[us], expected a time with its date; add the date and export it as timestamp"),
        (pa.duration("s"), "duration[s], expected a time with its date; add the date and export it as timestamp"),
    ],
)
def test_types_that_hold_no_exact_time_are_refused_by_name(tmp_path: Path, kind: pa.DataType, reason: str) -> None:
    path = written(tmp_path, "a.parquet", b"")
    pq.write_table(pa.table({"u": ["ann"], "when": pa.array([1_767_312_000], pa.int64()).cast(kind, safe=False)}), path)
    source = SOURCE.model_copy(update={"columns": {**SOURCE.columns, "timestamp": "when"}})
    assert message(path, source, "events").startswith(f"{path}: column when is {reason}")


def test_old_timestamps_beyond_the_range_of_nanoseconds_are_read(tmp_path: Path) -> None:
    times = pa.array([datetime.datetime(2026, 1, 2), datetime.datetime(9999, 12, 31)], pa.timestamp("us"))
    pq.write_table(
        pa.table({"u": ["a", "b"], "timestamp": times}), tmp_path / "a", use_deprecated_int96_timestamps=True
    )
    assert [time.year for time in read(tmp_path / "a", SOURCE, "events")["timestamp"]] == [2026, 9999]


def test_large_rows_come_in_small_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "BYTES_PER_CHUNK", 10_000)
    ids = [f"{number:01000}" for number in range(100)]
    sizes = [len(chunk) for chunk in open_source(write(tmp_path, u=ids), SOURCE, "events").read_chunks()]
    assert sum(sizes) == 100
    assert max(sizes) < 11
    path = write(tmp_path, u=range(100), blob=[bytes(1000)] * 100)  # which is not read
    assert len(list(open_source(path, SOURCE, "events").read_chunks())) == 1


def test_partitions_and_names_of_files_are_columns(tmp_path: Path) -> None:
    source = SOURCE.model_copy(update={"columns": {"user_id": "u", "timestamp": "dt", "item_id": "$file"}})
    for day, name in (("2026-01-05", "x.parquet"), ("__HIVE_DEFAULT_PARTITION__", "y.parquet")):
        (tmp_path / f"dt={day}").mkdir()
        pq.write_table(pa.table({"u": ["ann"]}), tmp_path / f"dt={day}" / name)
    rows = read(tmp_path, source, "events")
    assert rows[["timestamp", "item_id"]].fillna("").values.tolist() == [["2026-01-05", "x"], ["", "y"]]


def test_a_column_of_the_file_precedes_that_of_its_path(tmp_path: Path) -> None:
    write(tmp_path, "u=bob/a.parquet", u=["ann"])
    assert read(tmp_path, SOURCE, "events")["user_id"].tolist() == ["ann"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PAR1 and nothing else", ""),
        (b"", "0 bytes, an export that did not finish; write the file again or delete it"),
    ],
)
def test_broken_parquet_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = written(tmp_path, "a.parquet", content)
    assert message(path, SOURCE, "events").startswith(f"{path}: {reason}")


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([["a"], ["b"]], names=["u", "u"]), tmp_path / "a.parquet")
    assert message(tmp_path / "a.parquet", SOURCE, "events").endswith("more than one column u; rename one")
