"""The catalogue for real: two of its data sets from where they are published, to the numbers that are known of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from adloom.cli.world import open_adworld
from adloom.config import params
from adloom.config.settings import Settings
from adloom.context import StageContext, open_store
from adloom.stages import runner, sources_lock
from adloom.storage import parquet

SHIPPED = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def folder(tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the default events and impressions were ingested and prepared, without a key."""
    monkeypatch.chdir(tmp_path)
    values: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    values["ingest"] = {"events": {"uri": "cdnow"}, "impressions": {"uri": "open-bandit"}}
    Path("params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    loaded = params.load(Path("params.yaml"))
    world = replace(context, store=open_store(Settings(home=context.home, quiet=True)), pseudonym_key=None)
    sources_lock.save(sources_lock.scan(loaded, world), sources_lock.LOCK)
    runner.run_from_params("ingest", {}, loaded, world)
    runner.run_from_params("prepare", {}, loaded, world)
    return tmp_path / "data" / "dataset"


def test_the_default_events_and_impressions_have_the_published_numbers(folder: Path) -> None:
    events = parquet.read(folder / "events")
    assert len(events) == 69_659
    assert events["user_id"].nunique() == 23_570
    assert events["event"].unique().tolist() == ["purchase"]
    assert round(events["value"].sum(), 2) == 2_500_315.63
    # Orders of 1997 → buys in the first half of 1998: the base rate of the audience's question
    buyers = set(events.loc[events["split"] == "holdout", "user_id"])
    assert round(len(buyers) / 23_570, 3) == 0.228

    impressions = parquet.read(folder / "impressions")
    assert len(impressions) == 60_000
    assert impressions["clicked"].sum() == 287
    assert impressions.groupby(["logging_policy", "placement"]).size().to_dict() == {
        (policy, campaign): 10_000 for policy in ("bts", "random") for campaign in ("all", "men", "women")
    }
    assert impressions["user_id"].isna().all()
    random = impressions[impressions["logging_policy"] == "random"]
    chance = 1 / random.groupby("placement")["creative_id"].nunique()
    pd.testing.assert_series_equal(
        random.groupby("placement")["propensity"].median(), chance, check_names=False, atol=1e-9
    )


@pytest.mark.slow
def test_the_simulated_world_is_the_same_everywhere_and_its_tables_join(
    tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("creatives", "copy", "events", "impressions")
    values: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    values["ingest"] = {name: {"uri": "adworld"} for name in names}
    values["prepare"]["events"] = {"holdout_start": "2025-07-01", "end": "2026-01-01"}
    values["prepare"]["impressions"] = {"holdout_start": "2026-01-06", "end": "2026-01-11"}
    Path("params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    loaded = params.load(Path("params.yaml"))
    public = replace(context, store=open_store(Settings(home=context.home, quiet=True)), pseudonym_key=None)
    sources_lock.save(sources_lock.scan(loaded, public), sources_lock.LOCK)  # checks the pinned bytes, too
    runner.run_from_params("ingest", {}, loaded, public)
    runner.run_from_params("prepare", {}, loaded, public)
    creatives, copy, events, impressions = (parquet.read(Path("data/dataset") / name) for name in names)
    assert len(impressions) == 60_000
    assert {*impressions["creative_id"]} <= {*creatives["creative_id"]} >= {*events["item_id"]}
    assert {*impressions["user_id"]} <= {*events["user_id"]}
    assert {*copy["text"]} <= {*creatives["text"]}
    assert open_adworld(public.store, 7).running.ids == tuple(impressions["candidates"].iloc[0])
