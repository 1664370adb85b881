"""Tables of other tools: one line names the file, the column and the next step."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.drift_samples import make_impressions

from adloom.config.base import ConfigModel
from adloom.config.drift import Drift
from adloom.context import StageContext
from adloom.errors import DataError
from adloom.stages.drift import Inputs, Outputs, run
from adloom.storage import manifest, parquet

EVENTS = pd.DataFrame(
    {
        "user_id": [f"u{i}" for i in range(60)],
        "timestamp": pd.date_range("2026-03-01", periods=60, freq="D", tz="UTC"),
        "event": "purchase",
        "value": np.arange(60.0),
    }
)


def compare(folder: Path, old: pd.DataFrame, new: pd.DataFrame, context: StageContext) -> dict[str, Any]:
    table = "impressions" if "impression_id" in old else "events"
    for period, rows in (("old", old), ("new", new)):
        with manifest.draft(folder / period / table, "prepare", ConfigModel(), {}) as draft:
            parquet.write(rows, draft.path)
    return dict(run(Inputs(folder / "old", folder / "new"), Outputs(folder / "report"), Drift(), context))


@pytest.mark.parametrize(
    ("column", "values", "fault"),
    [
        ("timestamp", ["2026-03-01"] * 60, "text, expected times; convert it"),
        ("timestamp", [None] * 60, "absent or without values"),
        (
            "timestamp",
            [pd.NaT, *[pd.Timestamp(0, tz="UTC")] * 59],
            "(NaT|NA)>? in row 0 .and 0 more., expected a time; corr",
        ),
        ("outcome_at", ["soon"] * 60, "text, expected times"),
        ("clicked", ["yes"] * 60, "text, expected true or false"),
        ("weight", ["1"] * 60, "text, expected numbers"),
        ("weight", [1.0, 0.0, *[1.0] * 58], "0.0 in row 1 .and 0 more., expected a finite number above 0; correct it"),
        ("weight", [np.inf] * 60, "inf in row 0 .and 59 more., expected a finite number above 0"),
    ],
)
def test_impressions_with_a_fault_are_refused(
    column: str, values: list[Any], fault: str, tmp_path: Path, context: StageContext
) -> None:
    rows = make_impressions(60, 1)
    with pytest.raises(DataError, match=rf"new/impressions.*: column {column}: <?{fault}"):
        compare(tmp_path, rows, rows.assign(**{column: values}), context)


@pytest.mark.parametrize(
    ("column", "values", "fault"),
    [
        ("timestamp", ["2026-03-01"] * 60, "text, expected times"),
        ("timestamp", [pd.NaT, *[pd.Timestamp(0, tz="UTC")] * 59], "1 invalid values, expected times; correct it"),
        ("value", ["cheap"] * 60, "text, expected numbers"),
        ("value", [np.inf, *[1.0] * 59], "1 invalid values, expected finite numbers"),
        ("user_id", [None] * 60, "absent or without values; events need it"),
    ],
)
def test_events_with_a_fault_are_refused(
    column: str, values: list[Any], fault: str, tmp_path: Path, context: StageContext
) -> None:
    with pytest.raises(DataError, match=rf"new/events.*: column {column}: {fault}"):
        compare(tmp_path, EVENTS, EVENTS.assign(**{column: values}), context)


@pytest.mark.parametrize("values", [[None] * 60, pd.Series(pd.NA, range(60), "boolean")])
def test_impressions_without_clicks_are_compared_by_their_contexts(
    values: Any, tmp_path: Path, context: StageContext
) -> None:
    rows = make_impressions(60, 1).assign(clicked=values)
    found = compare(tmp_path, rows, rows, context)
    assert str(found["not_compared"]).startswith("click rate: no clicks")
    assert found["features"] == 3


def test_decimal_numbers_and_missing_optional_columns_are_fine(tmp_path: Path, context: StageContext) -> None:
    rows = make_impressions(60, 1).assign(weight=pd.array([2] * 60, "Int64"), outcome_at=None)
    assert compare(tmp_path, rows, rows, context)["alarms"] == 0
