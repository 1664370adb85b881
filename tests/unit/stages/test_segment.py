"""The stage: an artifact from events, the same bytes every time, and one line for every reason not to make one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import MakeTable
from tests.support.toy_shops import features, shop

from adloom.audience import fit
from adloom.audience.segment_index import SegmentIndex
from adloom.audience.segmenter import Segmenter
from adloom.config.audience import Segment
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.errors import ArtifactError, DataError
from adloom.stages import user_files
from adloom.stages.segment import Inputs, Outputs, run
from adloom.storage import manifest
from adloom.tracking.memory import MemoryTracker

PARAMS = Segment(segments_min=3, segments_max=3, min_segment_size=15, bootstraps=2, sample=150)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return where the artifact goes."""
    return tmp_path / "models" / "audience"


def segment(events: Path, out: Path, context: StageContext, params: Segment = PARAMS) -> dict[str, float]:
    return dict(run(Inputs(events), Outputs(out), params, context))


def nothing(out: Path) -> bool:
    return not out.parent.exists() or not list(out.parent.iterdir())


@pytest.mark.slow
def test_events_become_segments(make_table: MakeTable, out: Path, context: StageContext) -> None:
    rows = shop(120)
    events = make_table("events", rows.assign(currency="EUR"))
    metrics = segment(events, out, context)
    assert metrics["segments"] == 3
    assert metrics["smallest_segment"] == 40
    artifact = manifest.verify(out)
    assert set(artifact.files) == {
        *("segmenter.npz", "members.npz", "profiles.json", "history.json", "card.json"),
        *("migration.json", "diagnostics.json"),
    }
    assert artifact.inputs == {"table": manifest.digest(events)}
    assert artifact.rows["users"] == 120
    assigned = Segmenter.load(out / "segmenter.npz").assign(features(rows))
    assert SegmentIndex.load(out / "members.npz").find(sorted(rows["user_id"].unique())) == assigned.tolist()
    profiles = json.loads((out / "profiles.json").read_text())
    assert profiles[0]["name"] == "Loyal, high value, recently active"
    assert {profile["currency"] for profile in profiles} == {json.loads((out / "card.json").read_text())["currency"]}
    assert profiles[0]["currency"] == "EUR"


@pytest.mark.slow
def test_the_card_has_every_candidate_and_the_rule(make_table: MakeTable, out: Path, context: StageContext) -> None:
    segment(make_table("events", shop(120)), out, context)
    card = json.loads((out / "card.json").read_text())
    assert [(c["algorithm"], c["setting"]) for c in card["candidates"]] == [
        ("kmeans", 3), ("agglomerative", 3), ("gaussian_mixture", 3), ("dbscan", 0.6), ("dbscan", 0.7),
        ("dbscan", 0.8), ("hdbscan", 0.01), ("hdbscan", 0.04),
    ]  # fmt: skip
    assert [c["verdict"] for c in card["candidates"]].count("chosen") == 1
    assert "fewest segments" in card["rule"]
    assert Segment.model_validate(card["params"]) == PARAMS
    tracker = context.tracker
    assert isinstance(tracker, MemoryTracker)
    assert tracker.runs[0].recorded_tags["manifest_digest"] == manifest.digest(out)
    assert tracker.runs[0].recorded["segments"] == [(0, 3.0)]


@pytest.mark.slow
def test_shuffled_rows_and_other_batches_of_sampled_users_give_the_same_bytes(
    make_table: MakeTable, out: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "MAX_USERS", 100)
    rows = shop(120)
    events = make_table("events", rows)
    segment(events, out, context)
    monkeypatch.setattr(user_files, "BATCH", 7)
    other = out.with_name("other")
    segment(events, other, context)
    assert manifest.digest(out) == manifest.digest(other)
    before = manifest.read(out).files
    events = make_table("events", rows.sample(frac=1, random_state=1))
    segment(events, out, context)
    assert manifest.read(out).files == before  # only the input's digest is another


@pytest.mark.slow
def test_the_holdout_is_not_read(make_table: MakeTable, out: Path, context: StageContext) -> None:
    rows = shop(120)
    segment(make_table("events", rows), out, context)
    before = manifest.read(out).files
    segment(make_table("events", rows[rows["split"] == "calibration"]), out, context)
    assert manifest.read(out).files == before


def copy_champion(out: Path, champion: Path) -> str:
    """Take an artifact as the champion of the next run; return its digest."""
    shutil.rmtree(champion, ignore_errors=True)
    shutil.copytree(out, champion)
    return manifest.digest(champion)


@pytest.mark.slow
def test_users_keep_their_segment_ids_when_segments_are_made_again(
    make_table: MakeTable, out: Path, context: StageContext, tmp_path: Path
) -> None:
    """A tenth of the users is new, and spending has changed so much that the segments have another order of value."""
    rows, champion = shop(120), tmp_path / "champion"
    segment(make_table("events", rows), out, context)
    before = SegmentIndex.load(out / "members.npz")
    digest = copy_champion(out, champion)
    grown = shop(132)
    regular = grown["user_id"].map(lambda user: int(user, 16) % 3 == 0)
    grown.loc[regular, "value"] *= 0.01
    inputs = Inputs(make_table("events", grown), champion)
    run(inputs, Outputs(out), PARAMS.model_copy(update={"seed": 11}), context)
    after = SegmentIndex.load(out / "members.npz")
    users = sorted(rows["user_id"].unique())
    kept = np.mean([old == new for old, new in zip(before.find(users), after.find(users), strict=True)])
    assert kept >= 0.95
    assert after.names != before.names  # the most valuable first, which is another one now
    migration = json.loads((out / "migration.json").read_text())
    assert (migration["champion"], migration["shared"]) == (digest, 120)
    assert migration["moved"] == round((1 - kept) * 120)
    assert {change["state"] for change in migration["changes"]} == {"kept"}
    trends = {p["segment"]: p["trend"]["users"] for p in json.loads((out / "profiles.json").read_text())}
    assert trends == dict.fromkeys(before.names, 0.1)


@pytest.mark.slow
def test_a_champion_that_is_this_model_leaves_the_same_bytes(
    make_table: MakeTable, out: Path, context: StageContext, tmp_path: Path
) -> None:
    events, champion = make_table("events", shop(120)), tmp_path / "champion"
    segment(events, out, context)
    digest = copy_champion(out, champion)
    run(Inputs(events, champion), Outputs(out), PARAMS, context)
    assert manifest.digest(out) == digest
    run(Inputs(events, champion), Outputs(out), PARAMS.model_copy(update={"seed": 8}), context)
    assert json.loads((out / "migration.json").read_text())["champion"] == digest  # of other params: another model


@pytest.mark.slow
def test_a_result_that_lacks_what_was_asked_for_says_why(
    make_table: MakeTable, out: Path, context: StageContext, caplog: pytest.LogCaptureFixture
) -> None:
    rows = shop(120).drop_duplicates("user_id").assign(value=np.nan, split="calibration")
    rows["timestamp"] = rows["timestamp"].dt.normalize()
    params = PARAMS.model_copy(update={"segments_min": 5, "segments_max": 5, "min_segment_size": 22})
    metrics = segment(make_table("events", rows), out, context, params)
    assert metrics["segments"] < 5
    doubts = json.loads((out / "card.json").read_text())["doubts"]
    assert f"{metrics['segments']:.0f} segments, expected 5 to 5" in doubts[0]
    assert doubts[0] in caplog.text


def test_without_a_table_or_switched_off_it_is_skipped(make_table: MakeTable, out: Path, context: StageContext) -> None:
    events = make_table("events", shop(9))
    assert segment(events, out, context, PARAMS.model_copy(update={"enabled": False})) == {}
    assert manifest.read(out).skipped == "segment.enabled is false"
    manifest.skip(events, "prepare", Source(uri="test"), "no source: ingest.events is not given")
    assert segment(events, out, context) == {}
    assert manifest.read(out).skipped == "no source: ingest.events is not given"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (shop(1), "events: 1 users bought in the calibration period, expected at least 45: segment.segments_min 3 x"),
        (shop(29), "events: 29 users bought"),
        (shop(60).assign(event="order"), "events: none is a 'purchase', only order;"),
        (
            shop(60).assign(split="holdout"),
            "events: 0 rows in the calibration period; set prepare.events.holdout_start",
        ),
        (shop(60).assign(value=1e13), "events: value 1e+13, expected below 9e+12"),
    ],
)
def test_too_little_data_is_one_line_and_leaves_nothing(
    rows: pd.DataFrame, message: str, make_table: MakeTable, out: Path, context: StageContext
) -> None:
    with pytest.raises(DataError) as raised:
        segment(make_table("events", rows), out, context)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
    assert nothing(out)


def test_users_who_are_all_equal_are_refused(make_table: MakeTable, out: Path, context: StageContext) -> None:
    rows = shop(60).drop_duplicates("user_id")
    rows = rows.assign(timestamp=rows["timestamp"].min(), value=1.0, split="calibration")
    with pytest.raises(DataError, match=r"^events: 1 different buying histories among 60 users, expected at least"):
        segment(make_table("events", rows), out, context)
    assert nothing(out)


@pytest.mark.slow
def test_one_purchase_each_and_no_values_still_make_segments(
    make_table: MakeTable, out: Path, context: StageContext
) -> None:
    rows = shop(120).drop_duplicates("user_id").assign(value=np.nan, split="calibration")
    metrics = segment(make_table("events", rows), out, context)
    assert metrics["smallest_segment"] >= PARAMS.min_segment_size
    profiles = json.loads((out / "profiles.json").read_text())
    assert all(profile["value_share"] is None and "value" not in profile["name"] for profile in profiles)


def test_changed_events_are_refused(make_table: MakeTable, out: Path, context: StageContext) -> None:
    events = make_table("events", shop(60))
    (events / "rows-00000.parquet").write_bytes(b"")
    with pytest.raises(ArtifactError, match="changed since it was written"):
        segment(events, out, context)
    assert nothing(out)
