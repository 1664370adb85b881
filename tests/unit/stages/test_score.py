"""score: the champions over new tables, and which versions they were."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import MakeTable
from tests.support.tiny_models import CATEGORIES, EDGE, write_audience, write_reader

from adloom.config.base import ConfigModel
from adloom.config.params import Score
from adloom.context import StageContext
from adloom.creatives import pictures
from adloom.errors import DataError, UserError
from adloom.registry.base import CHAMPION
from adloom.stages import user_files
from adloom.stages.score import Inputs, Outputs, run
from adloom.storage import manifest, parquet

SHADES = [0, 255, 128]  # the tiny reader takes dark for the first category, light for the last


@pytest.fixture
def inputs(tmp_path: Path, make_table: MakeTable) -> Inputs:
    """Three pictures and the orders of two users, prepared."""
    pixels = np.array([np.full((1, EDGE, EDGE), shade, np.uint8) for shade in SHADES])
    shown = pd.DataFrame({"creative_id": list("abc"), "category": "unknown", "image": pictures.encode_pngs(pixels)})
    days = pd.to_datetime(["2026-03-01", "2026-03-02", "2025-01-01"], utc=True)
    orders = {"user_id": ["new", "new", "old"], "timestamp": days, "event": "purchase", "value": [5.0, 6.0, 7.0]}
    creatives = make_table("creatives", shown.assign(width=EDGE, height=EDGE, channels=1, split="train"))
    return Inputs(creatives, make_table("events", pd.DataFrame(orders).assign(split="calibration")))


@pytest.fixture
def champions(tmp_path: Path, context: StageContext) -> StageContext:
    """The outside with a champion reader and a champion segmenter, the second versions of each."""
    writers: dict[str, Callable[[Path], None]] = {"cnn": write_reader, "audience": write_audience}
    for model, write in writers.items():
        write(tmp_path / "models" / model)
        version = context.registry.register(model, tmp_path / "models" / model, {})
        context.registry.set_alias(model, CHAMPION, version.version, "by hand")
    return context


def scored(folder: Path, name: str) -> pd.DataFrame:
    return parquet.read(folder, name=name)


def test_users_get_segments_and_pictures_get_categories(
    tmp_path: Path, inputs: Inputs, champions: StageContext
) -> None:
    target = tmp_path / "scored"
    assert run(inputs, Outputs(target), Score(), champions) == {"segments": 2, "readings": 3}
    assert scored(target, "segments").values.tolist() == [["new", "segment-1"], ["old", "segment-2"]]
    readings = scored(target, "readings")
    assert readings[["creative_id", "category"]].values.tolist()[:2] == [["a", CATEGORIES[0]], ["b", CATEGORIES[-1]]]
    assert readings["probability"].between(1 / 3, 1).all()


def test_users_of_a_large_table_are_scored_in_ranges_with_equal_bytes(
    tmp_path: Path, champions: StageContext, make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    days = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 60, 400), "D")
    users = [f"{user:02x}" for user in rng.integers(0, 256, 400)]
    orders = pd.DataFrame({"user_id": users, "timestamp": days, "event": "purchase", "value": 5.0})
    table = Inputs(tmp_path / "none", make_table("events", orders.assign(split="calibration")))
    manifest.skip(table.creatives, "prepare", ConfigModel(), "no source")
    run(table, Outputs(tmp_path / "whole"), Score(), champions)
    monkeypatch.setattr(user_files, "EVENTS_AT_A_TIME", 70)
    run(table, Outputs(tmp_path / "ranges"), Score(), champions)
    assert scored(tmp_path / "ranges", "segments")["user_id"].tolist() == sorted(set(users))
    assert manifest.digest(tmp_path / "ranges") == manifest.digest(tmp_path / "whole")


def test_the_manifest_names_the_champions(tmp_path: Path, inputs: Inputs, champions: StageContext) -> None:
    run(inputs, Outputs(tmp_path / "scored"), Score(), champions)
    facts = manifest.verify(tmp_path / "scored").facts
    assert facts["cnn_version"] == "1"
    assert facts["audience_digest"] == manifest.digest(tmp_path / "models" / "audience")


def test_a_table_without_a_source_is_left_out(tmp_path: Path, inputs: Inputs, champions: StageContext) -> None:
    manifest.skip(tmp_path / "none", "prepare", ConfigModel(), "no source: ingest.creatives is not given")
    assert run(Inputs(tmp_path / "none", inputs.events), Outputs(tmp_path / "s"), Score(), champions) == {"segments": 2}
    assert run(Inputs(tmp_path / "none", tmp_path / "none"), Outputs(tmp_path / "t"), Score(), champions) == {}
    assert "no source" in str(manifest.skip_reason(tmp_path / "t"))


def test_without_a_champion_nothing_is_written(tmp_path: Path, inputs: Inputs, context: StageContext) -> None:
    with pytest.raises(UserError, match="audience: no champion; `adloom run` makes one, `adloom promote` names one"):
        run(inputs, Outputs(tmp_path / "scored"), Score(), context)
    assert not (tmp_path / "scored").exists()


def test_pictures_of_another_size_are_refused_with_advice(
    tmp_path: Path, inputs: Inputs, champions: StageContext, make_table: MakeTable
) -> None:
    wide = parquet.read(inputs.creatives).assign(width=2 * EDGE)
    other = Inputs(make_table("creatives", wide), inputs.events)
    with pytest.raises(DataError, match=r"pictures of \(1, 28, 56\), the reader wants \(1, 28, 28\); set prepare.pict"):
        run(other, Outputs(tmp_path / "scored"), Score(), champions)
