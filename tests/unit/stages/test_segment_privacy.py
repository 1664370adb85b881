"""Privacy of the stage segment: what leaves it, what it costs, and one line for wrong params."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tests.conftest import MakeTable
from tests.support.toy_shops import features, shop

from adloom.audience.assignment import SUPPRESSED
from adloom.audience.segment_index import SegmentIndex
from adloom.audience.segmenter import Segmenter
from adloom.config.audience import Privacy, Segment
from adloom.context import StageContext
from adloom.errors import ConfigError, DataError
from adloom.stages.segment import Inputs, Outputs, run
from adloom.storage import manifest


def uneven_shop() -> pd.DataFrame:
    """Return 40 regular and 40 occasional users, and 16 who were lost; `item_id` is c for all of these."""
    rows = shop(120)
    number = rows["user_id"].map(lambda user: int(user, 16))
    rows["item_id"] = [f"{'abc'[i % 3] if i % 3 == 2 else 'ab'[i % 2]}" for i in number]
    return rows[(number % 3 < 2) | (number < 48)]


def segment(events: Path, out: Path, context: StageContext, **privacy: object) -> dict[str, float]:
    params = Segment(
        algorithms=["kmeans"],
        segments_min=3,
        segments_max=3,
        min_segment_size=15,
        bootstraps=2,
        sample=150,
        privacy=Privacy.model_validate(privacy),
    )
    return dict(run(Inputs(events), Outputs(out), params, context))


@pytest.mark.slow
def test_a_small_segment_is_suppressed_everywhere(make_table: MakeTable, tmp_path: Path, context: StageContext) -> None:
    rows = uneven_shop()
    metrics = segment(make_table("events", rows), tmp_path / "out", context, k=20, small_segments="suppress")
    assert (metrics["segments"], metrics["smallest_segment"], metrics["reach_lost"]) == (2, 40, 16 / 96)
    profiles = json.loads((tmp_path / "out" / "profiles.json").read_text())
    assert [(profile["users"], profile["segment"] == SUPPRESSED) for profile in profiles] == [(40, False)] * 2
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert (card["reach"]["suppressed_users"], card["segments"][-1]) == (16, SUPPRESSED)
    users = sorted(rows["user_id"].unique())
    assigned = Segmenter.load(tmp_path / "out" / "segmenter.npz").assign(features(rows)).tolist()
    members = SegmentIndex.load(tmp_path / "out" / "members.npz").find(users)
    assert members == [None if name == SUPPRESSED else name for name in assigned]
    assert members.count(None) == 16


@pytest.mark.slow
@pytest.mark.parametrize("privacy", [{"k": 20}, {"k": 1, "sensitive": ["item_id"]}])
def test_a_weak_segment_is_merged(
    make_table: MakeTable, tmp_path: Path, context: StageContext, privacy: dict[str, object]
) -> None:
    metrics = segment(make_table("events", uneven_shop()), tmp_path / "out", context, **privacy)
    assert (metrics["segments"], metrics["reach_lost"]) == (2, 0)
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert (len(card["reach"]["merged"]), card["reach"]["merged_users"]) == (1, 16)


@pytest.mark.slow
def test_the_time_between_purchases_of_few_users_is_no_cell(
    make_table: MakeTable, tmp_path: Path, context: StageContext
) -> None:
    rows = shop(120)
    first = rows[rows["value"] < 8].iloc[:3]
    again = first.assign(timestamp=first["timestamp"] + pd.Timedelta(days=1), value=0.01)
    events = make_table("events", pd.concat([rows, again]))
    for k, is_hidden in ((3, False), (4, True)):
        segment(events, tmp_path / "out", context, k=k)
        profiles = json.loads((tmp_path / "out" / "profiles.json").read_text())
        (lost,) = [profile for profile in profiles if profile["frequency"] == 1]
        assert (lost["interpurchase_days"] is None) == is_hidden
        assert ("days between purchases" in lost["sentence"]) != is_hidden


@pytest.mark.slow
def test_noisy_profiles_are_equal_in_every_run_and_need_a_key(
    make_table: MakeTable, tmp_path: Path, context: StageContext
) -> None:
    events = make_table("events", shop(120))
    for name in ("one", "two"):
        segment(events, tmp_path / name, context, epsilon=5)
    assert manifest.digest(tmp_path / "one") == manifest.digest(tmp_path / "two")
    assert manifest.read(tmp_path / "one").facts["epsilon"] == "5"
    profiles = json.loads((tmp_path / "one" / "profiles.json").read_text())
    assert [profile["users"] for profile in profiles] != [40] * 3
    segment(events, tmp_path / "two", replace(context, pseudonym_key=b"another key for tests"), epsilon=5)
    assert json.loads((tmp_path / "two" / "profiles.json").read_text()) != profiles
    with pytest.raises(ConfigError, match=r"epsilon 5: the noise needs a secret key; set ADLOOM_PSEUDONYM_KEY"):
        segment(events, tmp_path / "two", replace(context, pseudonym_key=None), epsilon=5)


@pytest.mark.slow
def test_wrong_params_are_one_line(make_table: MakeTable, tmp_path: Path, context: StageContext) -> None:
    events = make_table("events", shop(60))
    with pytest.raises(
        ConfigError, match=r"privacy.sensitive: no column diagnosis in events; it has user_id, timestam"
    ):
        segment(events, tmp_path / "out", context, sensitive=["diagnosis"])
    with pytest.raises(
        DataError, match=r"no segment of 60 users has 1000 users and 2 values .* lower segment.privacy.k"
    ):
        segment(events, tmp_path / "out", context, preset="platform_1000")
