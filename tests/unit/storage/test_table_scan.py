"""Shards answer as rows in memory do, with times in UTC."""

from pathlib import Path

import pandas as pd
import pytest
from tests.support.toy_shops import CUT, compute_features, shop

from adloom.audience.events import find_period
from adloom.storage import parquet
from adloom.storage.table_scan import hold_rows, scan_table


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
