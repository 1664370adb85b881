"""Assignment of tables: streamed, resumable with equal bytes, and one line for every bad table."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support import moto_server

from adloom.audience.segmenter import FEATURES, FeatureScale, Segmenter
from adloom.config.base import ConfigModel
from adloom.errors import DataError
from adloom.stages import segment_users as module
from adloom.stages.segment_users import FeatureTable, segment_users
from adloom.storage import manifest
from adloom.storage.local import FolderObjectStore, FolderStore
from adloom.storage.router import open_object_store
from adloom.storage.s3 import S3Store

GROUP = 1000  # rows of a row group


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return an artifact with a segmenter."""
    rng = np.random.default_rng(0)
    segmenter = Segmenter(
        FeatureScale(np.full(5, 9.0), np.full(5, 2.0), np.ones(5)),
        rng.normal(size=(4, 5)),
        np.array([0, 1, 2, 1]),
        ("segment-1", "segment-2", "segment-3"),
    )
    with manifest.draft(tmp_path / "model", "segment", ConfigModel(), {}) as draft:
        segmenter.save(draft.path / "segmenter.npz")
    return tmp_path / "model"


def draw_features(rows: int, seed: int = 0) -> pa.Table:
    """Return features, every seventh user without money and every tenth without anything."""
    rng = np.random.default_rng(seed)
    features = {name: rng.gamma(1, 9, rows) for name in FEATURES}
    features["monetary"][::7] = np.nan
    for column in features.values():
        column[::10] = np.nan
    columns = {name: pa.array(column, from_pandas=True) for name, column in features.items()}
    return pa.table({"user_id": [f"u{i}" for i in range(rows)], **columns, "city": ["Ulm"] * rows})


def write_table(folder: Path) -> Path:
    """Write two files, of several row groups and of none."""
    folder.mkdir()
    pq.write_table(draw_features(5500), folder / "a.parquet", row_group_size=GROUP)
    pq.write_table(draw_features(1, 1)[:0], folder / "b.parquet")
    (folder / "_SUCCESS").touch()
    return folder


def open_source(table: Path) -> FeatureTable:
    return FeatureTable.open(str(table), FolderStore())


def read_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_row_gets_the_segment_of_the_model(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_PART", 2 * GROUP)
    monkeypatch.setattr(module, "ROWS_AT_A_TIME", 300)
    table = write_table(tmp_path / "in")
    counts = segment_users(open_source(table), FolderObjectStore(str(tmp_path / "out")), model)
    artifact = manifest.verify(tmp_path / "out")
    assert list(artifact.files) == [f"part-0000{f}-0000{b}.parquet" for f, b in ((0, 0), (0, 1), (0, 2), (1, 0))]
    result = pa.concat_tables(pq.read_table(tmp_path / "out" / name) for name in artifact.files).to_pydict()
    assert list(result) == ["user_id", "segment", "reason"]
    rows = draw_features(5500).to_pandas()
    assert result["user_id"] == rows["user_id"].tolist()
    expected = Segmenter.load(model / "segmenter.npz").assign(rows[list(FEATURES)].to_numpy())
    unseen = np.arange(5500) % 10 == 0
    assert result["segment"] == [None if none else name for name, none in zip(expected, unseen, strict=True)]
    assert result["reason"][:8] == ["unseen", *[None] * 6, "monetary missing"]
    assert (counts["rows"], counts["unseen"]) == (5500, 550)
    assert sum(counts[f"segment-{i}"] for i in (1, 2, 3)) == 4950
    assert counts == artifact.rows


def test_an_assignment_that_is_done_is_kept(tmp_path: Path, model: Path) -> None:
    table, target = write_table(tmp_path / "in"), FolderObjectStore(str(tmp_path / "out"))
    counts = segment_users(open_source(table), target, model)
    times = [path.stat().st_mtime_ns for path in sorted((tmp_path / "out").iterdir())]
    assert segment_users(open_source(table), target, model) == counts
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "out").iterdir())] == times


KILLED = """
import sys, time
from pathlib import Path
from adloom.stages import segment_users as module
from adloom.storage.local import FolderObjectStore, FolderStore
module.ROWS_PER_PART = 1000
put = FolderObjectStore.put
def slow_put(self, path, name):
    put(self, path, name)
    print(name, flush=True)
    if name == "part-00000-00002.parquet":
        time.sleep(60)
FolderObjectStore.put = slow_put
table = module.FeatureTable.open(sys.argv[1], FolderStore())
module.segment_users(table, FolderObjectStore(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_and_gives_equal_bytes(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_PER_PART", GROUP)
    table, out = write_table(tmp_path / "in"), tmp_path / "out"
    segment_users(open_source(table), FolderObjectStore(str(tmp_path / "whole")), model)
    arguments = [sys.executable, "-c", KILLED, *map(str, (table, out, model))]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any("part-00000-00002" in line for line in process.stdout)
        process.send_signal(signal.SIGKILL)
    assert not (out / manifest.MANIFEST).exists()
    first = (out / "part-00000-00000.parquet").stat().st_mtime_ns
    (out / ".tmp-of-the-killed").touch()
    segment_users(open_source(table), FolderObjectStore(str(out)), model)
    assert (out / "part-00000-00000.parquet").stat().st_mtime_ns == first
    assert read_bytes(out) == read_bytes(tmp_path / "whole")


@pytest.mark.slow
def test_tables_in_s3(tmp_path: Path, model: Path) -> None:
    import boto3

    table = write_table(tmp_path / "in")
    with moto_server.serve() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-west-1"}.items():
            patch.setenv(name, value)
        boto3.client("s3", endpoint_url=endpoint).create_bucket(
            Bucket="shop", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        store = S3Store(endpoint, progress=False)
        store.push(table, "s3://shop/in")
        target = open_object_store("s3://shop/out", endpoint)
        counts = segment_users(FeatureTable.open("s3://shop/in", store), target, model)
        assert segment_users(FeatureTable.open("s3://shop/in", store), target, model) == counts
        copy = store.fetch("s3://shop/out", tmp_path / "copy")
    segment_users(open_source(table), FolderObjectStore(str(tmp_path / "out")), model)
    assert manifest.read(copy).files == manifest.verify(tmp_path / "out").files
    assert counts["rows"] == 5500


def test_a_folder_of_other_files_is_refused(tmp_path: Path, model: Path) -> None:
    table = write_table(tmp_path / "in")
    with pytest.raises(DataError, match=r"in: not empty, has _SUCCESS; name another folder$"):
        segment_users(open_source(table), FolderObjectStore(str(table)), model)
    target = FolderObjectStore(str(tmp_path / "out"))
    segment_users(open_source(table), target, model)
    pq.write_table(draw_features(3), table / "c.parquet")
    with pytest.raises(DataError, match=r"out: has a result of another table or model; name another folder"):
        segment_users(open_source(table), target, model)
    (tmp_path / "started").mkdir()
    (tmp_path / "started" / module.PLAN).write_text("another")
    (tmp_path / "started" / f"{module.PROGRESS}part-00000-00000").touch()
    with pytest.raises(DataError, match=r"started: has an unfinished result of another table or model"):
        segment_users(open_source(table), FolderObjectStore(str(tmp_path / "started")), model)


def test_a_folder_without_a_part_takes_another_table(tmp_path: Path, model: Path) -> None:
    target = FolderObjectStore(str(tmp_path / "out"))
    pq.write_table(draw_features(1).drop_columns(["monetary"]), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="no column monetary"):
        segment_users(open_source(tmp_path / "t.parquet"), target, model)
    pq.write_table(draw_features(2), tmp_path / "t.parquet")
    assert segment_users(open_source(tmp_path / "t.parquet"), target, model)["rows"] == 2


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"monetary": pa.array(["12 EUR"])}, r"t.parquet: monetary is string, expected numbers; correct the query"),
        ({"monetary": pa.array([1]), "user_id": pa.array(["a"])}, r"several columns user_id, expected one; correct"),
        ({"event": pa.array(["purchase"])}, None),
        ({}, None),
    ],
)
def test_other_columns(tmp_path: Path, model: Path, columns: dict[str, pa.Array], message: str | None) -> None:
    table = draw_features(1).drop_columns(["monetary"])
    for name, column in columns.items():
        table = table.append_column(name, column)
    pq.write_table(table, tmp_path / "t.parquet")
    message = message or r"t.parquet: no column monetary; expected user_id, recency_days, .*" + (
        "; these are events: `adloom update-features`" if columns else "interpurchase_days$"
    )
    with pytest.raises(DataError, match=message):
        segment_users(open_source(tmp_path / "t.parquet"), FolderObjectStore(str(tmp_path / "out")), model)


def test_files_that_are_not_parquet(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "rows.csv").touch()
    with pytest.raises(DataError, match=r"in: no .parquet file; expected feature rows: user_id, recency_days"):
        open_source(tmp_path / "in")
    (tmp_path / "in" / "rows.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(DataError, match=r"in rows.parquet: not a complete Parquet file \(.*\); write it again$"):
        segment_users(open_source(tmp_path / "in"), FolderObjectStore(str(tmp_path / "out")), model)


def test_integers_and_decimals_count_as_numbers(tmp_path: Path, model: Path) -> None:
    rows = pa.table({"user_id": [1, 2], **{name: pa.array([3, None], pa.decimal128(9, 2)) for name in FEATURES}})
    rows = rows.set_column(2, "frequency", pa.array([3, None], pa.int32()))
    pq.write_table(rows, tmp_path / "t.parquet")
    segment_users(open_source(tmp_path / "t.parquet"), FolderObjectStore(str(tmp_path / "out")), model)
    result = pq.read_table(tmp_path / "out" / "part-00000-00000.parquet").to_pydict()
    expected = Segmenter.load(model / "segmenter.npz").assign(np.full((1, 5), 3.0)).tolist()
    assert result == {"user_id": [1, 2], "segment": [*expected, None], "reason": [None, "unseen"]}
