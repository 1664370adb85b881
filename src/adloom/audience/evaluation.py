"""Evaluate segments: separation, stability in refits, and rates of later purchases."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import ibis
import numpy as np

from adloom.arrays import BoolArray, Float64Array, Int64Array
from adloom.audience import figures, fit, rates
from adloom.audience.events import find_buyers, find_learning_users, find_period, list_kinds
from adloom.audience.features import compute_features, to_matrix
from adloom.audience.model_selection import RULE
from adloom.audience.profiles import Profile, describe_segments
from adloom.audience.segmenter import FEATURES, Segmenter
from adloom.audience.stability import measure_refits
from adloom.config.audience import Segment
from adloom.config.params import Evaluate
from adloom.errors import DataError
from adloom.evaluation import statistics
from adloom.evaluation.intervals import TAIL, bootstrap
from adloom.evaluation.metric import Evaluation, Figure, Metric, Sample, Section, Table

Card = Mapping[str, Any]

DIMENSIONS = FEATURES.index("recency_days"), FEATURES.index("frequency")


@dataclass(frozen=True)
class Holdout:
    """Users at the end of the calibration period, and their purchases after it."""

    features: Float64Array  # (users, 5)
    segment: Int64Array  # (users,) index into the segmenter's names
    bought: BoolArray  # (users,) in the holdout period
    learn: BoolArray  # (users,) whether rates are learnt from them


def evaluate(segmenter: Segmenter, events: ibis.Table, card: Card, params: Evaluate) -> Evaluation:
    """
    Measure a segmenter: features from the calibration period, purchases from the holdout period.

    The card has the params for refits. Raises DataError when no user bought in the calibration period.
    """
    trained = Segment.model_validate(card["params"])
    users = _build_holdout(segmenter, events, trained.purchase)
    samples = _build_samples(segmenter, users, trained, params)
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    sizes = np.bincount(users.segment, minlength=len(segmenter.names))
    metrics |= {
        "stability_ari": _measure_stability(segmenter, users.features, card["chosen"], trained, params),
        "smallest_segment": _count_metric(int(sizes.min()), len(users.segment)),
        "segments": _count_metric(int((sizes > 0).sum()), len(users.segment)),
    }
    return Evaluation(metrics, samples, _build_sections(segmenter, users, card, params))


def _build_holdout(segmenter: Segmenter, events: ibis.Table, purchase: str) -> Holdout:
    calibration = events.filter(events.split == "calibration")
    if purchase not in list_kinds(calibration):
        raise DataError(f"events: 0 users with a {purchase!r} in the calibration period, expected at least 1")
    cut = find_period(calibration)[1]
    users = compute_features(calibration, cut, purchase)
    features, later = to_matrix(users), find_buyers(users["user_id"], events, cut, purchase)
    return Holdout(features, segmenter.index(features), later, find_learning_users(users["user_id"], events))


def _build_samples(segmenter: Segmenter, users: Holdout, trained: Segment, params: Evaluate) -> dict[str, Sample]:
    """Return the samples of the metrics that are defined."""
    sampled = fit.draw_sample(len(users.segment), trained.sample, params.seed)
    silhouettes = fit.silhouettes(segmenter.scale(users.features[sampled]), users.segment[sampled])
    samples = {
        "silhouette": Sample((silhouettes,), statistics.mean, "silhouette"),
        "segment_rate_auc": rates.rate_auc(users.segment, users.bought, users.learn),
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


def _build_sections(segmenter: Segmenter, users: Holdout, card: Card, params: Evaluate) -> list[Section]:
    profiles = describe_segments(users.features, users.segment, segmenter.names)
    rate = _measure_rates(users, segmenter.names, params)
    return [
        _tabulate_profiles(profiles),
        *_draw_figures(users, segmenter.names, profiles, rate),
        _tabulate_candidates(card),
    ]


def _measure_rates(users: Holdout, names: tuple[str, ...], params: Evaluate) -> dict[str, Metric]:
    """Return the share of each segment that bought in the holdout period."""
    samples = {
        name: Sample((users.bought[users.segment == i],), statistics.mean, "share") for i, name in enumerate(names)
    }
    return {
        name: bootstrap(sample, params.bootstraps, params.seed)
        for name, sample in samples.items()
        if len(sample.columns[0])
    }


def _draw_figures(
    users: Holdout, names: tuple[str, ...], profiles: list[Profile], rate: Mapping[str, Metric]
) -> list[Section]:
    shown = fit.draw_sample(len(users.segment), 4000, 0)
    index = np.searchsorted([names.index(profile.segment) for profile in profiles], users.segment[shown])
    recency, frequency = users.features[shown][:, DIMENSIONS].T
    return [
        Figure(
            "Segments at a glance",
            "Customers in each segment, and the median customer of each at the end of the calibration period.",
            partial(figures.draw_overview, profiles),
        ),
        Figure(
            "Who bought again",
            "Share of each segment that bought in the holdout period, with 95 % intervals; the line is that of all.",
            partial(figures.draw_rates, profiles, rate, float(users.bought.mean())),
        ),
        Figure(
            "Customers by recency and frequency",
            f"A sample of {len(shown):,} customers, spread a little around their number of purchases.",
            partial(figures.draw_users, recency, frequency, index, profiles),
        ),
    ]


def _tabulate_profiles(profiles: list[Profile]) -> Table:
    caption = (
        "Medians at the end of the calibration period. Names compare a segment with the thirds of all customers; money "
        "is in the currency of the data."
    )
    header = ["segment", "name", "customers", "share", "last bought, days ago", "purchases", "spent", "first, days ago"]
    rows: list[list[str | float | int]] = [
        [p.segment, p.name, p.users, f"{p.share:.0%}", p.recency_days, p.frequency, p.monetary, p.tenure_days]
        for p in profiles
    ]
    return Table("Profiles", caption, header, rows)


def _tabulate_candidates(card: Card) -> Table:
    numbers = ("segments", "early_segments", "smallest", "silhouette", "stability", "auc", "auc_error")
    header = ["algorithm", "setting", *(n.replace("_", " ") for n in numbers[:-1]), "standard error", "verdict"]
    rows = [
        [c["algorithm"], c["setting"], *("none" if c[n] is None else c[n] for n in numbers), c["verdict"]]
        for c in card["candidates"]
    ]
    caption = (
        f"All measured on the calibration period alone. {RULE} The setting is the number of segments asked for; for "
        "DBSCAN it is the share of customers that are cores, which sets the radius."
    )
    return Table("Clusterings compared", caption, header, rows)
