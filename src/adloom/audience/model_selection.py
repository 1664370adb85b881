"""
Choose the clustering: measure every candidate on the calibration period alone, and apply one rule.

- stability: mean adjusted Rand index with refits on resampled users, of the candidates that can be chosen
- early segments: segments of the same setting before the last third of the period; if their number differs from the
  final one, the AUC says nothing about the final clustering
- AUC: how a segment's purchase rate in the last third, learnt from half a of the users, ranks half b
- lift: the purchase rate of half b in the segment with the highest rate in half a, in multiples of all users'
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa

from adloom.arrays import BoolArray, Float64Array, Int64Array, IntegerArray
from adloom.audience import fit, rates
from adloom.audience.events import describe_later, find_period
from adloom.audience.features import select_features
from adloom.audience.profiles import SegmentHistory
from adloom.audience.segmenter import FeatureScale, Segmenter
from adloom.audience.stability import measure_refits
from adloom.audience.user_table import UserTable, WriteUsers, pair_rows, stack_features
from adloom.config.audience import Segment
from adloom.errors import DataError
from adloom.evaluation import statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Sample

DRAWS = 200  # bootstrap draws behind an AUC's standard error
ERRORS_PER_INTERVAL = 2 * 1.96  # standard errors in a 95 % interval
CHAMPION_ERRORS = 2  # that the champion's clustering may be below the best: chance alone moves no user


@dataclass(frozen=True)
class Calibration:
    """The users, and the samples of them that candidates are fitted to and measured on."""

    users: UserTable  # at the end of the period
    features: Float64Array  # (sample, 5) of at most fit.MAX_USERS of them, NaN where null
    early_users: (
        pd.Series
    )  # ids of at most fit.MAX_USERS with a purchase before the last third of the period, ascending
    early: Float64Array  # (early users, 5), their features before that third
    bought: BoolArray  # (early users,), whether they bought in that third
    learn: BoolArray  # (early users,), whether rates are learnt from them

    def scale_params(self, params: Segment) -> Segment:
        """Return params with the smallest segment in proportion to the sample."""
        return fit.shrink_minimum(params, len(self.features) / len(self.users))


@dataclass(frozen=True)
class Candidate:
    """A clustering and its measurements; None where a number is not defined."""

    algorithm: str
    setting: float  # number of segments; for DBSCAN the quantile of its radius
    segments: int
    early_segments: int | None  # of the same setting before the last third of the period
    smallest: int  # users of the smallest segment, of those it is fitted to
    silhouette: float | None
    stability: float | None  # measured only where the number of segments fits
    auc: float | None
    auc_error: float | None  # standard error of the AUC
    lift: float | None = None  # of the most promising early segment, over all users
    noise: float = 0.0  # share of users that are in no cluster


def build_calibration(events: ibis.Table, purchase: str, seed: int, write_users: WriteUsers) -> Calibration:
    """Compute features at the end of events and, of a sample of users, at two thirds of them, with later purchases."""
    start, end = find_period(events)
    cut = end - pd.Timedelta(days=(end - start).days // 3)
    users = write_users(select_features(events, end, purchase), "users")
    known = events.filter(events.event == purchase, events.timestamp < cut.tz_convert(None).to_pydatetime())
    names = write_users(known.select("user_id").distinct(), "early")
    chosen_names = names.take(fit.draw_sample(len(names), fit.MAX_USERS, seed), "user_id")
    chosen = events.semi_join(
        ibis.memtable(pa.table({"user_id": pa.array(chosen_names["user_id"], pa.string())})), "user_id"
    )
    features = select_features(chosen, cut, purchase).inner_join(describe_later(chosen, cut, purchase), "user_id")
    early = features.order_by("user_id").to_pyarrow().to_pandas()
    bought, learn = (early["purchases"] > 0).to_numpy(), early["learn"].to_numpy(dtype=bool)
    return Calibration(users, fit.sample_users(users), early["user_id"], stack_features(early), bought, learn)


def trace_history(data: Calibration, segmenter: Segmenter, segment: IntegerArray, smallest: int) -> SegmentHistory:
    """Return the early users' segments then and now; segment (users,) is that of all users now."""
    parts = pair_rows(data.users.scan("user_id"), segment)
    now = np.concatenate([part[rows["user_id"].isin(data.early_users).to_numpy()] for rows, part in parts])
    return SegmentHistory(segmenter.index(data.early), now, data.bought, smallest)  # both are ascending


def fit_candidates(data: Calibration, params: Segment) -> list[tuple[Candidate, Segmenter]]:
    """Fit each algorithm with each of its settings, without measuring the stability."""
    features, params = data.features, data.scale_params(params)
    sample = fit.draw_sample(len(features), params.sample, params.seed)
    distances = fit.measure_distances(FeatureScale.fit(features)(features[sample]))  # every candidate has this scale
    fitted = []
    for algorithm in params.algorithms:
        settings = fit.list_settings(algorithm, params)
        segmenters = fit.fit_segmenters(features, algorithm, settings, params, params.seed)
        early_fits = _fit_early(data, algorithm, settings, params)
        for setting, segmenter, early in zip(settings, segmenters, early_fits, strict=True):
            index = segmenter.index(features)
            silhouette = fit.silhouettes(distances, index[sample]).mean()
            fitted.append(
                (_measure_candidate(algorithm, setting, segmenter, index, float(silhouette), early, params), segmenter)
            )
    return fitted


def measure_stability(
    fitted: Sequence[tuple[Candidate, Segmenter]],
    data: Calibration,
    params: Segment,
    tick: Callable[[], object] = lambda: None,
) -> list[tuple[Candidate, Segmenter]]:
    """Return the candidates with the stability of those that can be chosen; `tick` is called after each refit."""
    shrunk = data.scale_params(params)
    contenders = list_contenders([candidate for candidate, _ in fitted], params)
    stability: dict[Candidate, float] = {}
    for algorithm in params.algorithms:
        competing = [(c, s) for c, s in fitted if c.algorithm == algorithm and c in contenders]
        if competing:
            candidates, segmenters = zip(*competing, strict=True)
            settings = [candidate.setting for candidate in candidates]
            agreements = measure_refits(data.features, segmenters, algorithm, settings, shrunk, params.seed, tick)
            stability |= zip(candidates, agreements.mean(axis=0).tolist(), strict=True)
    return [(replace(candidate, stability=stability.get(candidate)), segmenter) for candidate, segmenter in fitted]


def describe_rule(params: Segment) -> str:
    """Return the rule of `choose` as sentences."""
    measure = {"auc": "AUC", "silhouette": "silhouette", "stability": "stability"}[params.select_by]
    near, stays = "equal to it", "are equal to it"
    if params.select_by == "auc":
        near, stays = "within one standard error of it", f"are within {CHAMPION_ERRORS} standard errors of it"
    return (
        f"Of the clusterings with {params.segments_min} to {params.segments_max} segments, as many in the early fit "
        f"that the AUC is measured on, and a stability of at least {params.min_stability:g}, the highest {measure} "
        f"sets the mark. The champion's algorithm and setting stay while they {stays}; otherwise, of those {near}, the "
        "one with the fewest segments is chosen, and of several such the most stable. When none is stable, the most "
        "stable is chosen; when none has a fitting number of segments, all compete."
    )


def list_contenders(candidates: Sequence[Candidate], params: Segment) -> list[Candidate]:
    """Return the candidates that can be chosen, however stable they are; none when all have one segment."""
    valid = [c for c in candidates if c.segments > 1]
    in_range = [c for c in valid if _in_range(c, params)]
    return [c for c in in_range if _has_stable_size(c)] or in_range or valid


def choose(candidates: Sequence[Candidate], params: Segment, champion: tuple[str, float] | None = None) -> Candidate:
    """
    Apply the rule; `champion` is the algorithm and setting of the champion.

    Raises DataError when no candidate has two segments.
    """
    contenders = list_contenders(candidates, params)
    if not contenders:
        raise DataError(
            f"segment: none of {len(candidates)} clusterings has two segments of {params.min_segment_size} users; "
            "lower segment.min_segment_size, or let kmeans compete in segment.algorithms"
        )
    stable = [c for c in contenders if _get_stability(c) >= params.min_stability]
    if not stable:
        return max(contenders, key=_get_stability)
    mark = max(stable, key=lambda c: _get_measure(c, params))
    error = (mark.auc_error or 0.0) if params.select_by == "auc" else 0.0
    lost = {c: _get_measure(mark, params) - _get_measure(c, params) for c in stable}
    for candidate in stable:
        if (candidate.algorithm, candidate.setting) == champion and lost[candidate] <= CHAMPION_ERRORS * error:
            return candidate
    return min((c for c in stable if lost[c] <= error), key=lambda c: (c.segments, -_get_stability(c)))


def explain_verdict(candidate: Candidate, chosen: Candidate, params: Segment) -> str:
    """Return the reason why a candidate was chosen or rejected."""
    if candidate == chosen:
        return "chosen"
    if not _in_range(candidate, params):
        return f"not {params.segments_min} to {params.segments_max} segments"
    if not _has_stable_size(candidate):
        return f"{candidate.early_segments} segments in the early fit"
    if _get_stability(candidate) < params.min_stability:
        return f"stability below {params.min_stability:g}"
    is_better = _get_measure(candidate, params) >= _get_measure(chosen, params)
    if is_better:
        return "more segments, less stable, or not the champion's"
    return f"lower {params.select_by.replace('auc', 'AUC')}"


def explain_doubts(chosen: Candidate, candidates: Sequence[Candidate], params: Segment) -> list[str]:
    """Return what the chosen clustering lacks, with the next step; nothing when it meets the whole rule."""
    doubts = []
    if not _in_range(chosen, params):
        numbers = ", ".join(f"{c.algorithm} {c.setting:g}: {c.segments}" for c in candidates)
        doubts.append(
            f"{chosen.segments} segments, expected {params.segments_min} to {params.segments_max}: no clustering keeps "
            f"as many of at least {params.min_segment_size} users ({numbers}); lower segment.min_segment_size or "
            "segment.segments_min"
        )
    if (stability := _get_stability(chosen)) < params.min_stability:
        doubts.append(
            f"stability {stability:.2f}, expected at least segment.min_stability {params.min_stability:g}: no "
            "clustering reaches it; lower segment.segments_max, or add users"
        )
    return doubts


def to_json(candidate: Candidate) -> dict[str, str | float | None]:
    """Return a candidate for card.json, rounded."""
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(candidate).items()}


@dataclass(frozen=True)
class _EarlyFit:
    """The fit before the last third of the period."""

    segments: int
    rates: Sample

    def compute_lift(self) -> float | None:
        """Return the purchase rate of the most promising segment in multiples of all users', None without purchases."""
        bought, expected = self.rates.columns
        return float(bought[expected == expected.max()].mean() / bought.mean()) if bought.any() else None


def _fit_early(data: Calibration, algorithm: str, settings: Sequence[float], params: Segment) -> list[_EarlyFit | None]:
    if len(data.early) < params.segments_min or data.learn.all() or not data.learn.any():
        return [None] * len(settings)
    segmenters = fit.fit_segmenters(data.early, algorithm, settings, params, params.seed)
    return [_EarlyFit(len(s.names), rates.rate_auc(s.index(data.early), data.bought, data.learn)) for s in segmenters]


def _measure_candidate(
    algorithm: str,
    setting: float,
    segmenter: Segmenter,
    index: Int64Array,
    silhouette: float,
    early: _EarlyFit | None,
    params: Segment,
) -> Candidate:
    auc, error = _estimate_auc(early.rates if early else None, params.seed)
    return Candidate(
        algorithm,
        float(setting),
        segments=len(segmenter.names),
        early_segments=early.segments if early else None,
        smallest=int(np.bincount(index).min()),
        silhouette=silhouette if np.isfinite(silhouette) else None,
        stability=None,
        auc=auc,
        auc_error=error,
        lift=early.compute_lift() if early else None,
        noise=float(np.mean(index == segmenter.names.index(segmenter.noise))) if segmenter.noise else 0.0,
    )


def _estimate_auc(sample: Sample | None, seed: int) -> tuple[float | None, float | None]:
    """Return the AUC and its standard error, None when nobody or everybody bought."""
    if sample is None or not sample.defined:
        return None, None
    bought, rate = sample.columns
    groups = Sample((bought, np.unique(rate, return_inverse=True)[1]), statistics.auc_of_groups, "auc")
    metric = bootstrap(groups, DRAWS, seed)
    return metric.value, (metric.high - metric.low) / ERRORS_PER_INTERVAL


def _get_measure(candidate: Candidate, params: Segment) -> float:
    """Return the measure that ranks candidates; an undefined one counts as chance."""
    chance = {"auc": 0.5, "silhouette": 0.0, "stability": 0.0}[params.select_by]
    value: float | None = getattr(candidate, params.select_by)
    return chance if value is None else value


def _get_stability(candidate: Candidate) -> float:
    return candidate.stability or 0.0


def _in_range(candidate: Candidate, params: Segment) -> bool:
    return params.segments_min <= candidate.segments <= params.segments_max


def _has_stable_size(candidate: Candidate) -> bool:
    return candidate.early_segments in (None, candidate.segments)
