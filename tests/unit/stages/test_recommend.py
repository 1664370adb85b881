"""recommend on users who buy the items of a circle in order: the artifact, its bytes, and odd events."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.support.item_events import event_rows, walk_circle

from adloom.audience.segment_index import SegmentIndex
from adloom.config.params import Evaluate, load
from adloom.config.recommendation import Factors, ItemLstm, Recommend
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.registry.memory import MemoryRegistry
from adloom.registry.verdict import Outcome
from adloom.stages import evaluate, recommend
from adloom.stages.judging import Candidate
from adloom.stages.measure import measure
from adloom.stages.recommend import Inputs, Outputs
from adloom.stages.register import register
from adloom.storage import manifest, parquet
from adloom.storage.local import FolderStore
from adloom.tracking.memory import MemoryTracker

LSTM = ItemLstm(epochs=3, steps_per_epoch=40, batch_size=16, hidden=16, length=8, learning_rate=0.03, dropout=0)
CLASSICAL = Recommend(
    models=["popularity", "neighbours", "factors"], neighbours=4, factors=Factors(factors=4, iterations=3)
)
PARAMS = CLASSICAL.model_copy(update={"models": ["popularity", "neighbours", "factors", "lstm"], "lstm": LSTM})
CIRCLE = {f"{number:032x}": items for number, items in enumerate(walk_circle(60, 30, 9).values())}
MODELS = {"popularity.npz", "neighbours.npz", "factors.npz"}
LEARNED = {"lstm.npz", "encoder.onnx"}
ALWAYS = {"items.npz", "histories.npz", "card.json", "history.json", "popularity.npz"}


def train(folder: Path, rows: pd.DataFrame, params: Recommend = CLASSICAL, audience: Path | None = None) -> Path:
    with manifest.draft(folder / "events", "prepare", Source(uri="test"), {}) as draft:
        parquet.write(rows, draft.path)
        draft.facts.update(source="a test", licence="public domain", key="0" * 16)
    if audience is None:
        audience = folder / "audience"
        manifest.skip(audience, "segment", params, "segment.enabled is false")
    registry = MemoryRegistry(folder / "registry")
    context = StageContext(FolderStore(), MemoryTracker(), registry, None, folder / ".adloom", False)
    recommend.run(Inputs(folder / "events", audience), Outputs(folder / "recommender"), params, context)
    return folder / "recommender"


def read_card(folder: Path) -> dict[str, object]:
    return json.loads((folder / "card.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.slow
def test_the_lstm_learns_the_order_and_the_bytes_repeat(tmp_path: Path) -> None:
    rows = event_rows(CIRCLE, holdout=8)
    trained = train(tmp_path / "one", rows, PARAMS)
    artifact = manifest.verify(trained)
    assert set(artifact.files) == ALWAYS | MODELS | LEARNED
    assert artifact.rows == {"users": 60, "calibration": 480}
    card = read_card(trained)
    assert (card["chosen"], card["licence"], card["audience"]) == ("lstm", "public domain", None)
    evaluation = measure(trained, tmp_path / "one" / "events", trained, Evaluate(bootstraps=20, threads=1))
    assert evaluation.metrics["ndcg_at_10"].value > 0.8  # the next item of the circle is nearly always first
    assert evaluation.metrics["ndcg_against_popularity"].low > 1
    assert [row[0] for row in evaluation.sections[0].rows][-1] == "LSTM (chosen)"  # type: ignore[union-attr]
    assert manifest.digest(train(tmp_path / "two", rows, PARAMS)) == manifest.digest(trained)


def test_popularity_by_segment_comes_from_the_audience(tmp_path: Path) -> None:
    with manifest.draft(tmp_path / "segments", "segment", CLASSICAL, {}) as draft:
        users = list(CIRCLE)[:30]
        segment = np.append(1, np.zeros(29, np.int64))
        SegmentIndex.build(users, segment, ("early", "bots")).save(draft.path / "members.npz")
    trained = train(tmp_path, event_rows(CIRCLE), audience=tmp_path / "segments")
    with np.load(trained / "popularity.npz") as arrays:
        assert (arrays["segments"].tolist(), arrays["of_segment"].shape) == (["early"], (1, 30))
    assert read_card(trained)["audience"] == manifest.digest(tmp_path / "segments")


def test_events_without_items_are_a_skip_with_the_next_step(tmp_path: Path) -> None:
    trained = train(tmp_path / "none", event_rows({user: [None, None] for user in CIRCLE}))
    assert manifest.read(trained).skipped == recommend.NO_ITEMS
    off = train(tmp_path / "off", event_rows(CIRCLE), Recommend(enabled=False))
    assert manifest.read(off).skipped == "recommend.enabled is false"


@pytest.mark.parametrize(
    "orders",
    [
        {"a" * 32: ["x"]},  # one user, one item
        {"a" * 32: ["x"] * 100},  # 100 events of one item
        {f"{number:032x}": [f"i{number}"] for number in range(5)},  # no user with two events
    ],
)
def test_events_that_compare_nothing_leave_popularity(tmp_path: Path, orders: dict[str, list[str]]) -> None:
    trained = train(tmp_path, event_rows(orders), PARAMS)
    assert (read_card(trained)["chosen"], read_card(trained)["candidates"]) == ("popularity", {})
    assert set(manifest.verify(trained).files) == ALWAYS | MODELS


def test_the_gate_asks_for_more_than_popularity_and_compares_with_the_champion(tmp_path: Path) -> None:
    rows, registry = event_rows(CIRCLE, holdout=8), MemoryRegistry(tmp_path / "registry")
    better = register_model(tmp_path / "better", rows, CLASSICAL, registry)
    assert (better.verdict, better.champion) == ("promote", 1)
    popular = Recommend(models=["popularity"])
    worse = register_model(tmp_path / "worse", rows, popular, registry)
    assert (worse.verdict, worse.champion) == ("reject", 1)
    assert worse.reasons[0].startswith("ndcg_against_popularity 1.0000 (95 % 1.0000 to 1.0000), expected at least 1.01")
    assert "ndcg_at_10 minus the champion's is -" in worse.reasons[1]
    assert worse.reasons[1].endswith("check what changed in the data or the parameters")


def register_model(folder: Path, rows: pd.DataFrame, params: Recommend, registry: MemoryRegistry) -> Outcome:
    """Train, evaluate and register a recommender by the rules that are shipped."""
    model, table, report = train(folder, rows, params), folder / "events", folder / "report"
    context = StageContext(FolderStore(), MemoryTracker(), registry, None, folder / ".adloom", False)
    shipped = load(Path(__file__).parents[3] / "params.yaml").register
    settings = shipped.model_copy(update={"evaluate": Evaluate(bootstraps=50, threads=1)})
    evaluate.run(evaluate.Inputs(model, table), evaluate.Outputs(report), settings.evaluate, context)
    return register(Candidate(model, table, model, report), settings, context)


def test_models_that_are_not_asked_for_are_left_out(tmp_path: Path) -> None:
    trained = train(tmp_path, event_rows(CIRCLE), Recommend(models=["popularity", "neighbours"]))
    assert set(manifest.verify(trained).files) == ALWAYS | {"neighbours.npz"}
