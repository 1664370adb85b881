"""
Learn to recommend the next item to a user, from the item sequences of data/dataset/events.

Popularity, item-kNN, matrix factorisation and an LSTM over items compete on the end of the calibration period. With
models/audience, users without items get the popular items of their segment. Without item ids it is skipped.

The artifact models/recommender holds items.npz, histories.npz (the items of known users, by pseudonym), a file of each
model (popularity.npz, neighbours.npz, factors.npz, lstm.npz with encoder.onnx), history.json and card.json (all
candidates and the choice).

Example: adloom recommend
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from adloom.config.recommendation import Recommend
from adloom.context import StageContext
from adloom.storage import manifest
from adloom.training.tracked_run import track_run

if TYPE_CHECKING:
    from adloom.evaluation.metric import Sample
    from adloom.recommendation.interactions import Interactions
    from adloom.recommendation.model_selection import Result
    from adloom.recommendation.recommender import ItemScorer
    from adloom.training.session import History, TrainingSession

T = TypeVar("T")

STAGE = "recommend"
NO_ITEMS = "events: no row has an item_id; name its column under ingest.events.columns.item_id"


@dataclass(frozen=True)
class Inputs:
    """Prepared events and the segments of their users."""

    events: Path = Path("data/dataset/events")
    audience: Path = Path("models/audience")


@dataclass(frozen=True)
class Outputs:
    """The recommender."""

    recommender: Path = Path("models/recommender")


def run(inputs: Inputs, outputs: Outputs, params: Recommend, context: StageContext) -> Mapping[str, float]:
    """
    Learn from the calibration period; the segments are optional.

    Raises AdloomError when the ONNX model differs from torch.
    """
    if manifest.propagate_skip(outputs.recommender, STAGE, params, inputs.events):
        return {}
    from adloom.recommendation.interactions import read_interactions
    from adloom.storage.table_scan import scan_table
    from adloom.training import checkpoints
    from adloom.training.session import TrainingSession

    manifest.verify(inputs.audience)
    interactions = read_interactions(scan_table(inputs.events, "calibration"), limit=params.items)
    if not len(interactions.items):
        manifest.skip(outputs.recommender, STAGE, params, NO_ITEMS)
        return {}
    others = {"audience": inputs.audience}
    key = f"{manifest.digest(inputs.events)[:16]}-{params.digest()[:16]}"
    checkpoint = checkpoints.checkpoint_path(context.home, STAGE, key)
    with track_run(STAGE, inputs.events, outputs.recommender, params, context, others) as (draft, run):
        session = TrainingSession(STAGE, draft, run, checkpoint, context.progress)
        metrics = _learn(interactions, inputs.audience, params, session)
        run.log_metrics(metrics, 0)
    checkpoints.mark_finished(checkpoint, outputs.recommender, None)
    return metrics


def _learn(
    interactions: "Interactions", audience: Path, params: Recommend, session: "TrainingSession"
) -> dict[str, float]:
    """Write the models, the one chosen on the end of the period named in the card; return its metrics."""
    from adloom.recommendation.histories import Histories
    from adloom.recommendation.model_selection import choose

    draft = session.draft
    samples, history = _compare(interactions, params, session)
    chosen, results = choose(samples, params.seed) if samples else ("popularity", {})
    _write_classical(interactions, audience, params, draft.path)
    Histories.build(interactions).save(draft.path / "histories.npz")
    draft.rows.update(users=len(interactions.users), calibration=len(interactions.item))
    draft.write_json("history.json", history)
    _write_card(draft, chosen, results, audience, params)
    measured = {name: metric.value for name, metric in results[chosen].metrics.items()} if results else {}
    return {"items": float(len(interactions.items)), **measured}


def _compare(
    interactions: "Interactions", params: Recommend, session: "TrainingSession"
) -> "tuple[dict[str, dict[str, Sample]], History]":
    """Return the samples of each model on the end of the period, and the LSTM's history; no samples without cases."""
    from adloom.recommendation.candidates import CLASSICAL, fit_classical
    from adloom.recommendation.next_items import find_cases, find_ranks, measure_ranks
    from adloom.recommendation.popularity import Popularity

    start = interactions.find_time(1 - params.validation)
    early, cases = interactions.keep(interactions.time < start), find_cases(interactions, start)
    if not cases.users or not len(early.item):
        return {}, {}
    popularity = Popularity.fit(early)
    scorers: dict[str, ItemScorer] = {
        name: _measure_seconds(name, session, partial(fit_classical, name, early, popularity, params))
        for name in CLASSICAL
        if name in params.models
    }
    history: History = {}
    if "lstm" in params.models:
        from adloom.stages.item_lstm import train_lstm

        train = partial(train_lstm, interactions, start, params, session)
        if trained := _measure_seconds("lstm", session, train):
            scorers["lstm"], history = trained
    items = len(interactions.items)
    ranks = {name: find_ranks(scorer, popularity, cases, items) for name, scorer in scorers.items()}
    return {name: measure_ranks(rank, cases) for name, rank in ranks.items()}, history


def _measure_seconds(model: str, session: "TrainingSession", fit: Callable[[], T]) -> T:
    """Fit a model and record its CPU seconds in the run."""
    start = time.process_time()
    fitted = fit()
    session.run.log_metrics({f"{model}_cpu_seconds": time.process_time() - start}, 0)
    return fitted


def _write_classical(interactions: "Interactions", audience: Path, params: Recommend, folder: Path) -> None:
    """Fit the classical models to all events, and write them with the names of the items."""
    from adloom.recommendation.candidates import CLASSICAL, fit_classical
    from adloom.recommendation.popularity import Popularity
    from adloom.storage import npz

    npz.save(folder / "items.npz", items=interactions.items)
    popularity = Popularity.fit(interactions, _find_segments(interactions, audience))
    for name in CLASSICAL:
        if name in params.models:
            npz.save(folder / f"{name}.npz", **fit_classical(name, interactions, popularity, params).to_arrays())


def _find_segments(interactions: "Interactions", audience: Path) -> "list[str | None]":
    """Return the segment of each user, None for bots, users of hidden segments, and all without an audience."""
    from adloom.audience.assignment import SUPPRESSED
    from adloom.audience.bots import SEGMENT as BOTS
    from adloom.audience.segment_index import SegmentIndex

    users = interactions.users.tolist()
    if manifest.skip_reason(audience):
        return [None] * len(users)
    found = SegmentIndex.load(audience / "members.npz").find(users)
    return [None if name in (BOTS, SUPPRESSED) else name for name in found]


def _write_card(
    draft: manifest.Draft, chosen: str, results: "Mapping[str, Result]", audience: Path, params: Recommend
) -> None:
    from adloom.recommendation.model_selection import RULE

    card: dict[str, object] = {
        "model": "recommender",
        "categories": [],
        "audience": None if manifest.skip_reason(audience) else manifest.digest(audience),
        "rule": RULE,
        "chosen": chosen,
        "candidates": {name: result.to_json() for name, result in results.items()},
    }
    draft.describe(card, params)
