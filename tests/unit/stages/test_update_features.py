"""Features from new events alone equal those from all events."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import MakeTable
from tests.support.toy_shops import CUT, events, shop

from adloom.audience.features import build_features
from adloom.audience.user_totals import sum_events
from adloom.config.audience import Segment
from adloom.errors import ConfigError, DataError, LockedError
from adloom.stages import update_features as stage
from adloom.stages.update_features import update_features
from adloom.storage import manifest, parquet
from adloom.storage.locks import exclusive_lock
from adloom.storage.table_scan import hold_rows

PARAMS = Segment(exposure="view")


def odd_shop(users: int = 30) -> pd.DataFrame:
    """Return a shop's events with items, refunds, views, missing values and equal times, in random order."""
    rng = np.random.default_rng(5)
    rows = shop(users)
    rows["item_id"] = pd.Series(rng.choice(["hat", "bag", "shoe", "cap"], len(rows)), dtype="str").where(
        rng.random(len(rows)) > 0.1
    )
    rows["value"] = rows["value"].where(rng.random(len(rows)) > 0.1)
    refunds = rows.sample(20, random_state=1).assign(event="refund", value=-3.0)
    views = rows.sample(20, random_state=2).assign(event="view")
    twice = rows.sample(20, random_state=3)
    return pd.concat([rows, refunds, views, twice]).sample(frac=1, random_state=4, ignore_index=True)


def compute_all(rows: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    totals = sum_events(hold_rows(rows), as_of, "purchase", "view")
    features: pd.DataFrame = build_features(totals, as_of).order_by("user_id").to_pyarrow().to_pandas()
    return features


@pytest.mark.slow
@pytest.mark.parametrize("max_layers", [16, 2])
def test_updates_in_any_order_equal_a_full_recompute(
    max_layers: int, make_table: MakeTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "MAX_LAYERS", max_layers)
    rows = odd_shop()
    late = np.random.default_rng(6).random(len(rows)) < 0.2
    quarters = pd.cut(rows["timestamp"], 4, labels=False)
    parts = [*(rows[(quarters == i) & ~late] for i in range(3)), rows[:0], rows[late], rows[(quarters == 3) & ~late]]
    seen = rows[:0]
    for part in parts:
        update_features(make_table("events", part), tmp_path / "state", tmp_path / "features", PARAMS)
        seen = pd.concat([seen, part])
        as_of = seen["timestamp"].max().normalize() + pd.Timedelta(days=1)
        pd.testing.assert_frame_equal(parquet.read(tmp_path / "features"), compute_all(seen, as_of), check_exact=True)
    assert len(list((tmp_path / "state").glob("layer-*"))) <= max_layers


THREE = [("a", "2025-12-01", 5.0), ("b", "2025-12-11", 3.0), ("a", "2025-12-21", 7.0)]


def test_one_table_is_not_counted_twice(make_table: MakeTable, tmp_path: Path) -> None:
    table = make_table("events", events(THREE))
    update_features(table, tmp_path / "state", None, PARAMS)
    with pytest.raises(DataError, match="counted in .* already; give only events that came since"):
        update_features(table, tmp_path / "state", None, PARAMS)


def test_the_same_command_writes_features_that_an_interruption_cost(make_table: MakeTable, tmp_path: Path) -> None:
    table = make_table("events", events(THREE))
    update_features(table, tmp_path / "state", None, PARAMS)
    assert update_features(table, tmp_path / "state", tmp_path / "features", PARAMS) == {"events": 0, "layers": 1}
    assert parquet.read(tmp_path / "features")["frequency"].tolist() == [2, 1]


def test_two_updates_at_once_and_a_state_in_an_artifact_are_refused(make_table: MakeTable, tmp_path: Path) -> None:
    table, state = make_table("events", events(THREE)), tmp_path / "state"
    with exclusive_lock(state / ".lock", "busy"), pytest.raises(LockedError, match="another .* updates it; wait"):
        update_features(table, state, None, PARAMS)
    with pytest.raises(ConfigError, match="is an artifact, expected the folder of a state"):
        update_features(table, table, None, PARAMS)


def test_tables_without_events_are_refused(make_table: MakeTable, tmp_path: Path) -> None:
    shown = make_table("impressions", events(THREE).drop(columns="event"))
    with pytest.raises(DataError, match="no column event; expected a prepared table of events"):
        update_features(shown, tmp_path / "state", None, PARAMS)
    manifest.skip(tmp_path / "skipped", "prepare", PARAMS, "no source")
    with pytest.raises(DataError, match="skipped: no source; expected a prepared table of events"):
        update_features(tmp_path / "skipped", tmp_path / "state", None, PARAMS)


def test_a_state_keeps_to_its_events_and_its_date(make_table: MakeTable, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="events to 2025-12-22, expected before as_of 2025-12-02; give a later date"):
        update_features(
            make_table("events", events(THREE)),
            tmp_path / "state",
            None,
            PARAMS,
            CUT.replace(month=12, day=2, year=2025),
        )
    with pytest.raises(DataError, match="0 events, and .*state has none; give the first events"):
        update_features(make_table("events", events(THREE)[:0]), tmp_path / "state", None, PARAMS)
    update_features(make_table("events", events(THREE)), tmp_path / "state", tmp_path / "features", PARAMS, CUT)
    assert parquet.read(tmp_path / "features")["recency_days"].tolist() == [11.0, 21.0]
    more = make_table("events", events([("c", "2025-12-23", 1.0)]))
    with pytest.raises(
        ConfigError, match="as_of 2025-12-31: .* counts events to 2026-01-01; give that or a later date"
    ):
        update_features(more, tmp_path / "state", None, PARAMS, CUT - pd.Timedelta(days=1))
    with pytest.raises(
        ConfigError, match="counts the events purchase, refund, view, expected order, refund as in params"
    ):
        update_features(more, tmp_path / "state", None, Segment(purchase="order"))
