"""Evaluate segments: separation, stability in refits, and rates of later purchases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np

from adloom.arrays import BoolArray, Float64Array, Int64Array
from adloom.audience import fit, rates
from adloom.audience.assignment import SUPPRESSED
from adloom.audience.events import find_buyers, find_learning_users, find_period, list_kinds
from adloom.audience.features import read_features
from adloom.audience.identity import measure_churn
from adloom.audience.outcomes import Outcomes, measure_outcomes, tabulate_outcomes
from adloom.audience.report_sections import build_sections, tabulate_prediction
from adloom.audience.segmenter import FEATURES, Segmenter
from adloom.audience.stability import measure_refits
from adloom.config.audience import Segment
from adloom.config.params import Evaluate
from adloom.errors import DataError
from adloom.evaluation import statistics
from adloom.evaluation.intervals import TAIL, bootstrap
from adloom.evaluation.metric import Evaluation, Metric, Sample

Card = Mapping[str, Any]

RECENCY = FEATURES.index("recency_days")


@dataclass(frozen=True)
class Holdout:
    """Users at the end of the calibration period, and their purchases after it."""

    features: Float64Array  # (users, 5)
    segment: Int64Array  # (users,) index into the segmenter's names
    bought: BoolArray  # (users,) in the holdout period
    learn: BoolArray  # (users,) whether rates are learnt from them
    outcomes: Outcomes  # in the holdout period


def evaluate(segmenter: Segmenter, events: ibis.Table, card: Card, params: Evaluate) -> Evaluation:
    """
    Measure a segmenter: features from the calibration period, purchases from the holdout period.

    The card has the params for refits, and the artifact's profiles, migration and diagnostics if it has them. Raises
    DataError when no user bought in the calibration period.
    """
    trained = Segment.model_validate(card["params"])
    users = _build_holdout(segmenter, events, trained.purchase)
    samples = _build_samples(segmenter, users, trained, params)
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    is_published = np.array(segmenter.names) != SUPPRESSED
    sizes = np.bincount(users.segment, minlength=len(segmenter.names))[is_published]
    metrics |= {
        "stability_ari": _measure_stability(segmenter, users.features, card["chosen"], trained, params),
        "smallest_segment": _count_metric(int(sizes.min()), len(users.segment)),
        "segments": _count_metric(int((sizes > 0).sum()), len(users.segment)),
        "segment_churn": _measure_churn(card),
    }
    sections = build_sections(segmenter, users.features, users.segment, _measure_rates(segmenter, users, params), card)
    outcomes = tabulate_outcomes(users.outcomes, users.segment, segmenter.names, params)
    return Evaluation(metrics, samples, [tabulate_prediction(metrics), *sections, outcomes])


def _build_holdout(segmenter: Segmenter, events: ibis.Table, purchase: str) -> Holdout:
    calibration = events.filter(events.split == "calibration")
    if purchase not in list_kinds(calibration):
        raise DataError(f"events: 0 users with a {purchase!r} in the calibration period, expected at least 1")
    cut = find_period(calibration)[1]
    users, features = read_features(calibration, cut, purchase)
    later, outcomes = find_buyers(users, events, cut, purchase), measure_outcomes(users, events, cut, purchase)
    return Holdout(features, segmenter.index(features), later, find_learning_users(users, events), outcomes)


def _build_samples(segmenter: Segmenter, users: Holdout, trained: Segment, params: Evaluate) -> dict[str, Sample]:
    """Return the samples of the metrics that are defined."""
    sampled = fit.draw_sample(len(users.segment), trained.sample, params.seed)
    distances = fit.measure_distances(segmenter.scale(users.features[sampled]))
    silhouettes = fit.silhouettes(distances, users.segment[sampled])
    rated = rates.rate_auc(users.segment, users.bought, users.learn)
    boosting = fit.predict_by_boosting(users.features, users.bought, users.learn)
    samples = {
        "silhouette": Sample((silhouettes,), statistics.mean, "silhouette"),
        "segment_rate_auc": rated,
        **rates.compare_auc(rated, users.features[~users.learn, RECENCY], boosting),
    }
    return {name: sample for name, sample in samples.items() if sample.defined}


def _measure_stability(
    segmenter: Segmenter, features: Float64Array, chosen: Mapping[str, Any], trained: Segment, params: Evaluate
) -> Metric:
    """Return the mean agreement with n refits; the interval holds 95 % of them."""
    algorithm, setting = chosen["algorithm"], chosen["setting"]
    sample, trained = fit.limit_users(features, trained)
    agreements = measure_refits(sample, [segmenter], algorithm, [setting], trained, params.seed + 1)[:, 0]
    low, high = np.quantile(agreements, [TAIL, 1 - TAIL])
    return Metric(float(agreements.mean()), float(low), float(high), len(agreements), "ari")


def _count_metric(value: int, users: int) -> Metric:
    return Metric(value, value, value, users, "count")


def _measure_churn(card: Card) -> Metric:
    """Return the share of the champion's users with another segment id, 0 without a champion."""
    migration = card.get("migration") or {"shared": 0, "moved": 0}
    share = measure_churn(migration)
    return Metric(share, share, share, migration["shared"], "share")


def _measure_rates(segmenter: Segmenter, users: Holdout, params: Evaluate) -> dict[str, Metric]:
    """Return the share of each segment, and of `all`, that bought in the holdout period."""
    bought = {name: users.bought[users.segment == i] for i, name in enumerate(segmenter.names)} | {"all": users.bought}
    return {
        name: bootstrap(Sample((rows,), statistics.mean, "share"), params.bootstraps, params.seed)
        for name, rows in bought.items()
        if len(rows)
    }
