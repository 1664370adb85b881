"""Evaluate recommenders: the next new items of the holdout period, after all that a user had before."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import ibis
import numpy as np
from threadpoolctl import threadpool_limits

from adloom.arrays import StrArray
from adloom.config.params import Evaluate
from adloom.errors import DataError
from adloom.evaluation import figures, statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Figure, History, Metric, Sample, Section, Table
from adloom.recommendation.figures import draw_by_history
from adloom.recommendation.interactions import read_interactions
from adloom.recommendation.model_selection import NDCG, RULE
from adloom.recommendation.next_items import TOP, Cases, find_cases, find_ranks, measure_ranks
from adloom.recommendation.recommender import ItemScorer

TITLES = {"popularity": "Popularity", "neighbours": "Item-kNN", "factors": "Matrix factorisation", "lstm": "LSTM"}
BY_HISTORY = "Each case by the number of items that the user had before. Without items, every model is popularity."
CURVES = "The loss in bits per item; the model is that of the epoch with the lowest on the validation period."


def evaluate(
    models: Mapping[str, ItemScorer],
    items: StrArray,
    events: ibis.Table,
    card: Mapping[str, Any],
    params: Evaluate,
    history: History,
) -> Evaluation:
    """Measure all models of an artifact; the card names the chosen one. Raises DataError without a new item."""
    cases = _read_cases(events, items)
    with threadpool_limits(1, "blas"):  # more threads round differently
        ranks = {name: find_ranks(model, models["popularity"], cases, len(items)) for name, model in models.items()}
    by_model = {name: measure_ranks(rank, cases) for name, rank in ranks.items()}
    samples = _collect_samples(by_model, card["chosen"])
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    measured = {
        name: {metric: bootstrap(sample, params.bootstraps, params.seed) for metric, sample in own.items()}
        for name, own in by_model.items()
    }
    sections: list[Section] = [
        _tabulate_models(measured, card, cases),
        Figure("By length of history", BY_HISTORY, partial(draw_by_history, ranks, cases, TITLES)),
    ]
    if history:
        sections.append(Figure("Learning curves", CURVES, partial(figures.draw_learning_curves, history)))
    return Evaluation(metrics, samples, sections)


def _read_cases(events: ibis.Table, items: StrArray) -> Cases:
    start = events.filter(events.split == "holdout").timestamp.min().to_pyarrow().as_py()
    if start is None:
        raise DataError("events: 0 rows in the holdout period; set prepare.events.holdout_start to an earlier day")
    cases = find_cases(read_interactions(events, items), int(np.datetime64(start, "us").astype(np.int64)))
    if not cases.users:
        raise DataError(
            "events: no user has a new item in the holdout period; set prepare.events.holdout_start to an earlier day, "
            "or recommend.enabled to false"
        )
    return cases


def _collect_samples(by_model: Mapping[str, Mapping[str, Sample]], chosen: str) -> dict[str, Sample]:
    """Return the chosen model's samples, popularity's, and how many times as large the NDCG is."""
    ours, popular = by_model[chosen], by_model["popularity"]
    samples = {**ours, **{f"popularity_{name}": sample for name, sample in popular.items()}}
    if popular[NDCG].columns[0].any():
        gains = (ours[NDCG].columns[0], popular[NDCG].columns[0])
        samples["ndcg_against_popularity"] = Sample(gains, statistics.ratio, "ratio")
    return samples


def _tabulate_models(measured: Mapping[str, Mapping[str, Metric]], card: Mapping[str, Any], cases: Cases) -> Table:
    rows: list[list[str | float | int]] = [
        [
            TITLES[name] + (" (chosen)" if name == card["chosen"] else ""),
            *(f"{m.value:.4f} [{m.low:.4f}, {m.high:.4f}]" for m in own.values()),
        ]
        for name, own in measured.items()
    ]
    caption = (
        f"{len(cases.target)} next items of {cases.users} users in the holdout period, each after all of the user's "
        f"items before and ranked among all items that the user did not have. Intervals are over users. {RULE}"
    )
    return Table("Models", caption, ["model", f"recall@{TOP}", f"NDCG@{TOP}"], rows)
