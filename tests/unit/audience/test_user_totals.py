"""Spark and DuckDB answer the same expressions alike."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.spark import local_spark
from tests.support.toy_shops import CUT, events, shop

from adloom.audience.features import build_features
from adloom.audience.user_totals import sum_events
from adloom.storage import parquet
from adloom.storage.table_scan import Engine, scan_table, write_rows

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # pyspark warns about pandas 3

SECONDS = st.one_of(st.integers(0, 5), st.integers(0, 3_000_000_000)).map(lambda s: s / 2)  # ties, and parts of seconds
HISTORY = st.tuples(
    st.sampled_from("abc"),
    SECONDS,
    st.one_of(st.none(), st.integers(-500, 500).map(lambda cents: cents / 100), st.floats(-1e9, 1e9)),
    st.sampled_from(["purchase", "purchase", "refund", "view", "click"]),
    st.sampled_from(["hat", "bag", "shoe", "cap", None]),
)


@pytest.fixture(scope="module", autouse=True)
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Provide Spark, which runs once."""
    with local_spark(tmp_path_factory.mktemp("spark")):
        yield


def compute(folder: Path, engine: Engine) -> pd.DataFrame:
    totals = sum_events(scan_table(folder, "calibration", engine), CUT, "purchase", "view")
    (folder / engine).mkdir()
    write_rows(build_features(totals, CUT).order_by("user_id"), folder / engine)
    return parquet.read(folder / engine)


def require_equal_engines(rows: pd.DataFrame, folder: Path) -> None:
    parquet.write(rows, folder)
    pd.testing.assert_frame_equal(
        compute(folder, "spark"), compute(folder, "duckdb"), check_dtype=False, rtol=1e-9, atol=1e-9
    )


@settings(max_examples=2)
@given(st.lists(HISTORY, min_size=20, max_size=60))
def test_engines_agree_on_any_events(
    tmp_path_factory: pytest.TempPathFactory, histories: list[tuple[str, float, float | None, str, str | None]]
) -> None:
    users, seconds, values, kinds, items = zip(*histories, strict=True)
    times = pd.to_datetime(np.array(seconds) * 1e6, unit="us", utc=True).strftime("%Y-%m-%dT%H:%M:%S.%f")
    rows = events(list(zip(users, times, values, strict=True))).assign(
        event=kinds, item_id=pd.Series(items, dtype="str")
    )
    require_equal_engines(rows, tmp_path_factory.mktemp("events"))


def test_engines_agree_on_a_shop(tmp_path: Path) -> None:
    require_equal_engines(shop(30), tmp_path)
