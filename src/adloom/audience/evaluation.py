"""Evaluate segments: separation, stability in refits, and rates of later purchases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np

from adloom.arrays import BoolArray, Float64Array, Int64Array
from adloom.audience import fit, rates
from adloom.audience.assignment import SUPPRESSED
from adloom.audience.events import describe_later, find_period, list_kinds
from adloom.audience.features import select_features
from adloom.audience.identity import measure_churn
from adloom.audience.outcomes import COLUMNS, Outcomes, tabulate_outcomes
from adloom.audience.report_sections import build_sections, tabulate_prediction
from adloom.audience.segmenter import FEATURES, Segmenter
from adloom.audience.stability import measure_refits
from adloom.audience.user_table import UserTable, WriteUsers, assign_users, stack_features
from adloom.config.audience import Segment
from adloom.config.params import Evaluate
from adloom.errors import DataError
from adloom.evaluation import statistics
from adloom.evaluation.intervals import TAIL, bootstrap
from adloom.evaluation.metric import Evaluation, Metric, Sample

Card = Mapping[str, Any]

MAX_USERS = 500_000  # that predictions and separation are measured on; more change their intervals little
RECENCY = FEATURES.index("recency_days")


@dataclass(frozen=True)
class Holdout:
    """A sample of users at the end of the calibration period, and their purchases after it."""

    features: Float64Array  # (sample, 5)
    segment: Int64Array  # (sample,) index into the segmenter's names
    bought: BoolArray  # (sample,) in the holdout period
    learn: BoolArray  # (sample,) whether rates are learnt from them
    share: float  # of all users


def evaluate(
    segmenter: Segmenter, events: ibis.Table, card: Card, params: Evaluate, write_users: WriteUsers
) -> Evaluation:
    """
    Measure a segmenter: features from the calibration period, purchases from the holdout period.

    Numbers of the report are exact over all users; metrics of predictions, separation and stability are those of at
    most MAX_USERS. The card has the params for refits, and the artifact's profiles, migration and diagnostics if it has
    them. Raises DataError when no user bought in the calibration period.
    """
    trained = Segment.model_validate(card["params"])
    table = _write_users(events, trained.purchase, write_users)
    segment = assign_users(segmenter, table)
    outcomes = Outcomes.sum(table.scan(*COLUMNS), segment, len(segmenter.names))
    users = _sample_users(table, segmenter, params.seed)
    samples = _build_samples(segmenter, users, trained, params)
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    sizes = outcomes.users[np.array(segmenter.names) != SUPPRESSED]
    metrics |= {
        "stability_ari": _measure_stability(segmenter, users, card["chosen"], trained, params),
        "smallest_segment": _count_metric(int(sizes.min()), len(table)),
        "segments": _count_metric(int((sizes > 0).sum()), len(table)),
        "segment_churn": _measure_churn(card),
    }
    sections = build_sections(segmenter, table, segment, outcomes.measure_rates(segmenter.names), card)
    conversions = tabulate_outcomes(outcomes, segmenter.names)
    return Evaluation(metrics, samples, [tabulate_prediction(metrics), *sections, conversions])


def _write_users(events: ibis.Table, purchase: str, write_users: WriteUsers) -> UserTable:
    calibration = events.filter(events.split == "calibration")
    if purchase not in list_kinds(calibration):
        raise DataError(f"events: 0 users with a {purchase!r} in the calibration period, expected at least 1")
    cut = find_period(calibration)[1]
    features, later = select_features(calibration, cut, purchase), describe_later(events, cut, purchase)
    return write_users(features.inner_join(later, "user_id"), "users")


def _sample_users(table: UserTable, segmenter: Segmenter, seed: int) -> Holdout:
    rows = table.take(fit.draw_sample(len(table), MAX_USERS, seed), *FEATURES, "purchases", "learn")
    features = stack_features(rows)
    bought, learn = (rows["purchases"] > 0).to_numpy(), rows["learn"].to_numpy(dtype=bool)
    return Holdout(features, segmenter.index(features), bought, learn, len(rows) / len(table))


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
    segmenter: Segmenter, users: Holdout, chosen: Mapping[str, Any], trained: Segment, params: Evaluate
) -> Metric:
    """Return the mean agreement with n refits; the interval holds 95 % of them."""
    algorithm, setting = chosen["algorithm"], chosen["setting"]
    sample = users.features[fit.draw_sample(len(users.features), fit.MAX_USERS, trained.seed)]
    trained = fit.shrink_minimum(trained, users.share * len(sample) / len(users.features))
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
