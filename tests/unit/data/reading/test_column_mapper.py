"""Files whose columns differ are named."""

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa
import pytest

from adloom.config.sources import Source
from adloom.data.reading.column_mapper import ColumnMapper
from adloom.errors import DataError

SOURCE = Source(uri="im", format="csv", columns={"timestamp": "t"}, constants={"placement": "home"})
REQUIRED = {"t": ["2026-01-01"], "creative_id": ["c"], "clicked": ["1"]}


def map_files(files: Mapping[str, Mapping[str, object]], source: Source = SOURCE) -> ColumnMapper:
    mapper = ColumnMapper(source, "impressions")
    for path, columns in files.items():
        mapper.rename(pd.DataFrame({**REQUIRED, **columns}), path)
    return mapper


@pytest.mark.parametrize(("first", "second"), [("propensity", "propensitiy"), ("Propensity", "propensity")])
def test_a_column_that_one_file_misspells_is_refused_with_the_file(first: str, second: str) -> None:
    with pytest.raises(DataError) as caught:
        map_files({"a.csv": {first: ["0.5"]}, "b.csv": {second: ["0.5"]}})
    wrong, right, name = ("b.csv", "a.csv", second) if first == "propensity" else ("a.csv", "b.csv", first)
    assert str(caught.value) == (
        f"im: {wrong} (ingest.impressions): no column propensity, which {right} has, but {name}; "
        "give both files the same column"
    )


def test_a_column_that_files_lack_is_a_warning() -> None:
    files = {"a.csv": {"value": ["1"]}, "b.csv": {}, "c.csv": {}, "d.csv": {"value": ["2"], "other": ["x"]}}
    assert map_files(files).warnings() == ["column value is missing in 2 of 4 files, first in b.csv"]


def test_a_mapped_column_that_one_file_lacks_is_refused_with_the_file() -> None:
    mapper = map_files({"a.csv": {}})
    with pytest.raises(DataError, match=r"im: b.csv \(ingest.impressions\): no column 't' for timestamp; .* has time"):
        mapper.rename(pd.DataFrame({**REQUIRED, "t": ["1"]}).rename(columns={"t": "time"}), "b.csv")


def test_kinds_that_differ_between_files_are_a_warning() -> None:
    kinds = {"a": pd.ArrowDtype(pa.int64()), "b": pd.ArrowDtype(pa.float32()), "c": pd.ArrowDtype(pa.null())}
    values = {path: {"position": pd.Series([None], dtype=kind)} for path, kind in kinds.items()}
    mapper = map_files({**values, "d": {"position": pd.Series(["1"], dtype="str")}})
    assert mapper.warnings() == ["column position differs: a number in a, text in d"]
