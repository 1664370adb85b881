"""Impressions are read with the segments of their users."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import MakeTable
from tests.support.impression_tables import impressions_frame
from tests.support.tiny_models import USERS, write_audience

from adloom.config.audience import TrainPolicy
from adloom.config.params import InvalidTraffic
from adloom.config.sources import Source
from adloom.data.contracts import validate
from adloom.data.invalid_traffic import HOUR, find_heavy_hours, mark_hours, mark_rows
from adloom.data.privacy import PUBLISHED_KEY, pseudonymise
from adloom.errors import DataError
from adloom.policy.impressions import Impressions
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.promotion_test import Lift, decide_lift
from adloom.stages.policy_rows import read_impressions
from adloom.storage import manifest, parquet
from adloom.world.simulator import Config, World

PARAMS = TrainPolicy(maturity_hours=1e-12)
BOTS = Config(
    rate=0.05, segments=3, placements=2, creatives=24, wear_out=0.0, spread=0.0, delay_hours=0.01, per_hour=20_000.0,
    bots=12, bot_share=0.6, bot_rate=1.0,
)  # fmt: skip


def judge(data: Impressions) -> Lift:
    """Judge a policy that nearly always shows what bots click, against the log."""
    target = np.where(data.shown < BOTS.bots, 0.95, 0.05) / BOTS.bots
    clusters = Clusters(data.weight, data.user)
    return decide_lift(data.reward, data.propensity, target, data.propensity, loss=1.0, clusters=clusters)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_bots_that_are_too_fast_move_no_promotion(make_table: MakeTable, seed: int) -> None:
    log = World(BOTS, seed).log(lambda now: np.full(now.rate.shape, 1 / 24), 12_000).frame()
    is_bot = log["user_id"].isin([f"u{number}" for number in range(BOTS.bots)])
    rows = mark_rows(validate(log, "impressions")[0], InvalidTraffic()).assign(split="calibration")
    table = make_table("impressions", rows)
    params = TrainPolicy(maturity_hours=0.05)
    unmarked, _ = read_impressions(table, None, "calibration", params)
    reasons = find_heavy_hours(parquet.list_shards(table), InvalidTraffic())
    marked = make_table("impressions", mark_hours(pd.concat(parquet.read_chunks(table)), reasons))
    data, excluded = read_impressions(marked, None, "calibration", params)
    people, _ = read_impressions(make_table("impressions", rows[~is_bot]), None, "calibration", params)
    assert excluded.invalid == {HOUR: is_bot.sum()}
    assert judge(data) == judge(people)
    assert judge(unmarked).value > judge(people).value + 0.01


@pytest.fixture
def table(make_table: MakeTable) -> Path:
    """Impressions of users 1 and 3, of a stranger and of nobody; the last lies in the holdout period."""
    users = [pseudonymise(user, PUBLISHED_KEY) for user in (USERS[0], USERS[2], "a stranger")]
    rows = impressions_frame("abcd", user_id=[*users, None])
    return make_table("impressions", rows.assign(split=["calibration"] * 3 + ["holdout"]))


def test_users_get_the_segments_of_the_audience(table: Path, tmp_path: Path) -> None:
    write_audience(tmp_path / "audience")
    data, excluded = read_impressions(table, tmp_path / "audience", "calibration", PARAMS)
    assert data.context["segment"].tolist() == ["segment-1", "segment-2", np.nan]
    assert excluded.without_segment == 1


@pytest.mark.parametrize("skipped", [True, False])
def test_without_an_audience_nobody_has_a_segment(table: Path, tmp_path: Path, skipped: bool) -> None:
    manifest.skip(tmp_path / "audience", "segment", Source(uri="x"), "no events")
    data, _ = read_impressions(table, tmp_path / "audience" if skipped else None, "holdout", PARAMS)
    assert (len(data), "segment" in data.context) == (1, False)


def test_a_table_of_invalid_traffic_alone_says_so(make_table: MakeTable) -> None:
    rows = impressions_frame("ab").assign(split="calibration", invalid=True, invalid_reason=HOUR)
    with pytest.raises(DataError, match=f"0 of 2 usable.*; prepare.invalid_traffic marked {HOUR} 2"):
        read_impressions(make_table("impressions", rows), None, "calibration", PARAMS)
