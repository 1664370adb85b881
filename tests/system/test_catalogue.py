"""The catalogue for real: two of its data sets from where they are published, to the numbers that are known of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

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
