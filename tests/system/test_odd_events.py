"""Events as shops export them, from files to segments: each oddity is named, and no row is lost in silence."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support import shop

from adloom.audience.segment_index import SegmentIndex
from adloom.config import params
from adloom.config.audience import Privacy
from adloom.context import StageContext
from adloom.data.privacy import pseudonymise
from adloom.errors import DataError
from adloom.stages import runner, sources_lock
from adloom.storage import parquet

pytestmark = pytest.mark.slow

KEY = b"a key for tests only"  # of the context
DATASET, MODEL = Path("data/dataset/events"), Path("models/audience")
PREPARE = {"events": {"holdout_start": "2026-07-01", "end": "2026-10-01"}, "max_quarantine_rate": 0.2}
SEGMENT = {"segments_min": 2, "segments_max": 3, "min_segment_size": 5, "bootstraps": 2, "algorithms": ["kmeans"]}


class Project:
    """A folder in which stages run by their params.yaml."""

    def __init__(self, context: StageContext) -> None:
        self.context = context

    def prepare(self, files: Mapping[str, pd.DataFrame], **ingest: Any) -> pd.DataFrame:
        """Write the files, ingest and prepare them; return the rows, sorted by user and time."""
        Path("orders").mkdir(exist_ok=True)
        for name, rows in files.items():
            if name.endswith("csv"):
                rows.to_csv(f"orders/{name}", index=False)
            else:
                rows.to_parquet(f"orders/{name}")
        source = {"uri": "orders", "format": name.rpartition(".")[2], **ingest}
        content = shop.params() | {"ingest": {"events": source}, "prepare": PREPARE, "segment": SEGMENT}
        path = shop.write_params(Path(), content)
        sources_lock.save(sources_lock.scan(params.load(path), self.context), sources_lock.LOCK)
        for stage in ("ingest", "prepare"):
            self.run(stage)
        return parquet.read(DATASET)

    def segment(self, *users: str, **changes: Any) -> list[str | None]:
        """Segment the users; return the segments of some."""
        self.run("segment", **changes)
        return SegmentIndex.load(MODEL / "members.npz").find([pseudonymise(user, KEY) for user in users])

    def run(self, stage: str, **changes: Any) -> None:
        loaded = params.load(Path("params.yaml"))
        block = loaded.block(stage)
        runner.run_stage(stage, {}, block.model_copy(update=changes), self.context)

    @property
    def summary(self) -> dict[str, Any]:
        """What prepare counted and warned of."""
        content: dict[str, Any] = json.loads((DATASET / "summary.json").read_text(encoding="utf-8"))
        return content


@pytest.fixture
def project(tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(context)


def draw_orders(users: int = 60) -> pd.DataFrame:
    """Return orders of users who buy 9 times for much, or twice for little."""
    rng = np.random.default_rng(3)
    user = np.concatenate([np.repeat(number, (9, 2)[number % 2]) for number in range(users)])
    days = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 240, len(user)), unit="D")
    return pd.DataFrame(
        {
            "user_id": [f"u{number}" for number in user],
            "timestamp": days.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "event": "purchase",
            "item_id": [f"item-{item}" for item in rng.integers(0, 9, len(user))],
            "value": np.where(user % 2, 5.0, 80.0) * rng.integers(1, 4, len(user)),
        }
    )


ORDERS = draw_orders()


def order(**changes: Any) -> pd.DataFrame:
    """Return one more order, or several."""
    usual = {"user_id": "new", "timestamp": "2026-03-01T00:00:00Z", "event": "purchase", "item_id": "item-1"}
    rows = usual | {"value": 5.0} | changes
    return pd.DataFrame(rows, range(max([1, *(len(v) for v in changes.values() if isinstance(v, list))])))


def with_orders(*more: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([ORDERS, *more], ignore_index=True)


def test_a_user_with_one_event_has_a_segment(project: Project) -> None:
    assert len(project.prepare({"a.csv": with_orders(order())})) == len(ORDERS) + 1
    assert set(project.segment("new", "u0", "u1")) == {"segment-1", "segment-2"}


def test_users_who_are_all_equal_are_named(project: Project) -> None:
    project.prepare({"a.csv": order(user_id=[f"u{number}" for number in range(40)])})
    with pytest.raises(
        DataError, match="1 different buying histories among 40 users, expected at least segments_min 2"
    ):
        project.segment()


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_nan_is_missing_and_infinity_is_quarantined(project: Project, name: str) -> None:
    rows = project.prepare({name: with_orders(order(value=[float("nan"), float("inf"), float("-inf")]))})
    assert len(rows) == len(ORDERS) + 1
    assert rows["value"].isna().sum() == 1
    assert project.summary["quarantined"] == {"value: not a number": 2}
    assert project.segment("new")[0] is not None


def test_times_of_mixed_zones_are_one_instant(project: Project) -> None:
    times = ["2026-03-01T00:30:00+02:00", "2026-02-28T22:30:00Z", "2026-02-28 17:30:00-05:00", "2026-02-28T23:30:00"]
    rows = project.prepare({"a.csv": order(timestamp=times)}, timezone="Europe/Berlin")
    assert set(rows["timestamp"]) == {pd.Timestamp("2026-02-28T22:30:00Z")}


def test_a_column_that_turned_to_text_is_read_and_named(project: Project) -> None:
    text = order(value=["12.5", "7", "soon"])
    rows = project.prepare({"a.parquet": ORDERS, "b.parquet": text})
    assert rows["value"].tail(2).tolist() == [12.5, 7.0]
    assert project.summary["quarantined"] == {"value: not a number": 1}
    assert any("value" in warning and "b.parquet" in warning for warning in project.summary["warnings"])


def test_a_user_with_half_of_all_events_is_named_and_left_out(project: Project) -> None:
    robot = order(user_id=["robot"] * len(ORDERS), value=0.01)
    assert len(project.prepare({"a.csv": with_orders(robot)})) == 2 * len(ORDERS)
    name = pseudonymise("robot", KEY)[:16]
    assert any(f"50% of all rows (pseudonym {name}…)" in warning for warning in project.summary["warnings"])
    assert project.summary["bots"] == [name]
    assert project.segment("robot", "u0")[0] is None
    assert project.segment("robot", "u0", bots="segment")[0] is None, "a segment of fewer than privacy.k users"
    alone = {"bots": "segment", "privacy": Privacy(k=1)}
    assert project.segment("robot", "u0", **alone)[0] == "bots"
    assert project.segment("u0", "u1", **alone) == project.segment("u0", "u1")


@pytest.mark.parametrize("name", ["b.csv", "b.parquet"])
def test_an_empty_day_is_named(project: Project, name: str) -> None:
    rows = project.prepare({name.replace("b", "a"): ORDERS, name: ORDERS[:0]})
    assert len(rows) == len(ORDERS)
    assert project.summary["warnings"] == [f"files without rows: {name}"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_schema_that_grew_columns_reads_both_days(project: Project, suffix: str) -> None:
    grown = order(quantity=3, colour="red")
    rows = project.prepare({f"a.{suffix}": ORDERS, f"b.{suffix}": grown})
    assert rows["quantity"].isna().sum() == len(ORDERS)
    assert rows["quantity"].iloc[-1] == 3
    assert project.summary["columns_dropped"] == ["colour"]
    assert any("quantity" in warning for warning in project.summary["warnings"])


def test_refunds_reduce_what_users_paid(project: Project) -> None:
    refunds = ORDERS[ORDERS["user_id"] == "u0"].assign(value=lambda rows: -rows["value"])
    rows = project.prepare({"a.csv": with_orders(refunds)})
    assert project.summary["refunds"] == len(refunds)
    assert rows.loc[rows["user_id"] == pseudonymise("u0", KEY), "value"].sum() == 0
    assert project.segment("u0")[0] is not None


def test_renamed_items_are_named(project: Project) -> None:
    rows = project.prepare({"a.csv": ORDERS, "b.csv": order(item_id=["Item-1", " item-2", "article-3"])})
    assert set(rows["item_id"].tail(3)) == {"Item-1", "item-2", "article-3"}
    assert any(w.startswith("item_id: ") and "'Item-1' and 'item-1'" in w for w in project.summary["warnings"])
