"""Tables: shards that stream, come back in order, and are the same bytes every time."""

import hashlib
import resource
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from adloom.storage import parquet


def rows(count: int) -> pd.DataFrame:
    return pd.DataFrame({"n": range(count), "split": ["train", "test"] * (count // 2) + ["train"] * (count % 2)})


def test_rows_come_back_in_order_over_shards(tmp_path: Path) -> None:
    parquet.write(rows(parquet.ROWS_PER_SHARD * 2 + 1), tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"rows-0000{i}.parquet" for i in range(3)]
    assert parquet.read(tmp_path)["n"].tolist() == list(range(parquet.ROWS_PER_SHARD * 2 + 1))
    assert [len(chunk) for chunk in parquet.read_chunks(tmp_path)] == [parquet.ROWS_PER_SHARD] * 2 + [1]


def test_several_shards_of_equal_columns_are_one_chunk(tmp_path: Path) -> None:
    shards = parquet.ShardWriter(tmp_path)
    for part in (rows(2), rows(3), rows(1), rows(1).drop(columns="split"), rows(4)):
        shards.append(part)
    assert [len(chunk) for chunk in parquet.read_chunks(tmp_path, shards=2)] == [5, 1, 1, 4]


def test_a_split_and_columns_can_be_chosen(tmp_path: Path) -> None:
    parquet.write(rows(5), tmp_path)
    assert parquet.read(tmp_path, split="test", columns=["n"]).to_dict("list") == {"n": [1, 3]}


def test_chunks_appended_are_further_shards(tmp_path: Path) -> None:
    shards = parquet.ShardWriter(tmp_path, "apart")
    for count in (2, 3):
        shards.append(rows(count))
    assert shards.rows == 5
    assert parquet.read(tmp_path, name="apart")["n"].tolist() == [0, 1, 0, 1, 2]


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    parquet.write(rows(0), tmp_path)
    assert list(parquet.read(tmp_path).columns) == ["n", "split"]


def test_batches_are_the_rows_in_order(tmp_path: Path) -> None:
    shards = parquet.ShardWriter(tmp_path)
    for count in (5, 2):
        shards.append(rows(count))
    batches = [batch["n"].tolist() for batch in parquet.read_batches(tmp_path, ["n"], 3)]
    assert batches == [[0, 1, 2], [3, 4], [0, 1]]


def test_batches_take_little_memory(tmp_path: Path) -> None:
    """Arrow has a pool of its own; a shard of 100 MB is read page by page."""
    noise = np.random.default_rng(0)
    parquet.write(pd.DataFrame({"image": [noise.bytes(10_000) for _ in range(10_000)]}), tmp_path)
    before, peak = pa.total_allocated_bytes(), 0
    for _ in parquet.read_batches(tmp_path, ["image"], 100):
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < 40e6


def test_the_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        parquet.write(rows(1000), tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name / "rows-00000.parquet").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # the limit would cut it off
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match=r"rows-00000.parquet") as caught:
            parquet.write(rows(10), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert caught.value.filename == str(tmp_path / "rows-00000.parquet")
