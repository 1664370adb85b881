"""drift: two periods of tables, as prepared or as converted from a decision log."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.drift_samples import make_impressions
from tests.support.tiny_models import EDGE, write_audience, write_reader

from adloom.config.base import ConfigModel
from adloom.config.drift import Drift
from adloom.context import StageContext
from adloom.creatives import pictures
from adloom.errors import DataError
from adloom.registry.base import CHAMPION
from adloom.stages.drift import Inputs, Outputs, find_tables, run
from adloom.storage import manifest, parquet


def write(folder: Path, rows: pd.DataFrame) -> Path:
    with manifest.draft(folder, "prepare", ConfigModel(), {}) as draft:
        parquet.write(rows, draft.path)
        draft.rows = {"kept": len(rows)}
    return folder


def write_creatives(folder: Path, shades: range) -> Path:
    """Write pictures of one grey each."""
    pixels = np.array([np.full((1, EDGE, EDGE), shade, np.uint8) for shade in shades])
    rows = pd.DataFrame({"creative_id": [f"c{i}" for i in shades], "image": pictures.encode_pngs(pixels)})
    return write(folder, rows.assign(category="Bag", width=EDGE, height=EDGE, channels=1, split="train"))


def write_events(folder: Path, days: int, value: float) -> Path:
    """Write a purchase per user on each of some days."""
    rng = np.random.default_rng(days)
    users = np.repeat([f"u{value}{i}" for i in range(80)], days)
    when = pd.Timestamp("2026-03-01", tz="UTC") + pd.to_timedelta(np.tile(np.arange(days), 80), "D")
    values = (value * rng.gamma(2, 1, len(users))).round(2)
    return write(folder, pd.DataFrame({"user_id": users, "timestamp": when, "event": "purchase", "value": values}))


def read_result(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "drift.json").read_text(encoding="utf-8")))


def compare(tmp_path: Path, context: StageContext) -> dict[str, Any]:
    found = run(Inputs(tmp_path / "old", tmp_path / "new"), Outputs(tmp_path / "report"), Drift(), context)
    return {**read_result(tmp_path / "report"), **found}


@pytest.mark.slow
def test_all_tables_are_compared_with_the_champions(tmp_path: Path, context: StageContext) -> None:
    writers: dict[str, Callable[[Path], None]] = {"cnn": write_reader, "audience": write_audience}
    for model, write_model in writers.items():
        write_model(tmp_path / model)
        version = context.registry.register(model, tmp_path / model, {})
        context.registry.set_alias(model, CHAMPION, version.version, "by hand")
    for period, shades, value in (("old", range(60), 10.0), ("new", range(190, 250), 40.0)):
        write_creatives(tmp_path / period / "creatives", shades)
        write_events(tmp_path / period / "events", 20, value)
        write(tmp_path / period / "impressions", make_impressions(2000, len(period)))
    found = compare(tmp_path, context)
    alarmed = {(f["table"], f["feature"]) for f in found["findings"] if f["is_alarm"]}
    assert {table for table, _ in alarmed} == {"creatives", "events"}
    assert alarmed >= {("creatives", "predicted category"), ("events", "monetary")}
    assert ("events", "segment") in {(f["table"], f["feature"]) for f in found["findings"]}
    assert found["rows"] == {"creatives": [60, 60], "events": [80, 80], "impressions": [2000, 2000]}
    assert found["skipped"] == {}
    assert "events monetary PSI" in str(found["reason"])
    assert manifest.verify(tmp_path / "report").inputs.keys() >= {"reference_events", "current_events"}


@pytest.mark.slow
def test_periods_of_other_lengths_are_compared_over_the_shorter_one(tmp_path: Path, context: StageContext) -> None:
    """Sixty days of equal habits have more purchases per user than ten days have, and are no drift."""
    write_events(tmp_path / "old" / "events", 60, 10.0)
    write_events(tmp_path / "new" / "events", 10, 10.0)
    found = compare(tmp_path, context)
    assert found["alarms"] == 0
    assert found["skipped"] == {"segments of users": "audience has no champion; `adloom promote` names one"}


@pytest.mark.slow
def test_two_runs_write_the_same_bytes(tmp_path: Path, context: StageContext) -> None:
    for seed, period in enumerate(("old", "new")):
        write(tmp_path / period, make_impressions(500, seed))
    digests = []
    for report in ("first", "second"):
        run(Inputs(tmp_path / "old", tmp_path / "new"), Outputs(tmp_path / report), Drift(), context)
        digests.append(manifest.digest(tmp_path / report))
    assert digests[0] == digests[1]


def test_a_folder_is_a_table_or_has_tables(tmp_path: Path) -> None:
    table = write(tmp_path / "all" / "impressions", make_impressions(10, 1))
    manifest.skip(tmp_path / "all" / "events", "prepare", ConfigModel(), "no source")
    assert find_tables(tmp_path / "all") == find_tables(table) == {"impressions": table}


@pytest.mark.slow
def test_quarantined_rows_are_not_compared(tmp_path: Path, context: StageContext) -> None:
    for period in ("old", "new"):
        with manifest.draft(tmp_path / period, "prepare", ConfigModel(), {}) as draft:
            parquet.write(make_impressions(60, 1), draft.path)
            parquet.write(make_impressions(40, 2).assign(reason="broken"), draft.path, "quarantine")
    assert compare(tmp_path, context)["rows"] == {"impressions": [60, 60]}
    manifest.skip(tmp_path / "none", "prepare", ConfigModel(), "no source")
    assert find_tables(tmp_path / "none") == {}


def test_few_rows_and_unread_pictures_are_skipped_with_a_reason(tmp_path: Path, context: StageContext) -> None:
    for period in ("old", "new"):
        write_creatives(tmp_path / period / "creatives", range(2))
        write(tmp_path / period / "impressions", make_impressions(49, 1))
    found = compare(tmp_path, context)
    assert found["skipped"] == {
        "creatives": "cnn has no champion that reads them; `adloom promote` names one",
        "impressions": "49 rows in a period, expected at least 50",
    }
    assert found["alarms"] == 0


def test_events_of_an_empty_period_are_skipped_with_a_reason(tmp_path: Path, context: StageContext) -> None:
    write_events(tmp_path / "old" / "events", 20, 10.0)
    write(tmp_path / "new" / "events", parquet.read(tmp_path / "old" / "events").iloc[:0])
    found = compare(tmp_path, context)
    assert found["not_compared"] == "events: 0 rows in a period, expected at least 50"


def test_folders_without_a_common_table_are_refused(tmp_path: Path, context: StageContext) -> None:
    write(tmp_path / "old" / "impressions", make_impressions(10, 1))
    with pytest.raises(DataError, match=r"new: no such file or folder; name a folder of `adloom prepare`"):
        compare(tmp_path, context)
    (tmp_path / "new").mkdir()
    with pytest.raises(DataError, match=r"new has no table; expected events, impressions or creatives in both"):
        compare(tmp_path, context)
