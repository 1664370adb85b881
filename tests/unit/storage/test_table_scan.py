"""Shards answer as rows in memory do, with times in UTC."""

from pathlib import Path

import pandas as pd
import pytest
from tests.support.toy_shops import CUT, compute_features, shop

from adloom.audience.events import find_period
from adloom.errors import ConfigError
from adloom.storage import parquet
from adloom.storage.table_scan import hold_rows, scan_table, write_rows


@pytest.mark.slow
def test_shards_answer_as_rows_in_memory_do(tmp_path: Path) -> None:
    rows = shop(30)
    writer = parquet.ShardWriter(tmp_path)
    for start in range(0, len(rows), 50):
        writer.append(rows[start : start + 50])
    calibration = hold_rows(rows[rows["split"] == "calibration"])
    scanned = scan_table(tmp_path, "calibration")
    assert find_period(scanned) == find_period(calibration)
    pd.testing.assert_frame_equal(
        compute_features(scanned, CUT, "purchase"), compute_features(calibration, CUT, "purchase")
    )


class RowsOfAnotherMachine:
    """A query on Spark whose executors write to a disk that this machine does not see."""

    name = "pyspark"

    def get_backend(self) -> "RowsOfAnotherMachine":
        return self

    def to_parquet(self, folder: Path, mode: str) -> None:
        folder.mkdir()


def test_executors_without_a_shared_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set TMPDIR to a folder that the driver and all executors share"):
        write_rows(RowsOfAnotherMachine(), tmp_path)
