"""
Bootstrap intervals over test rows, by Efron's bias-corrected percentiles (1987).

Resampling worsens some metrics (calibration error, Frechet distance); the correction shifts the interval accordingly.
"""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from adloom.arrays import AnyArray
from adloom.evaluation.metric import Metric, Sample

TAIL = 0.025  # on each side of a 95 % interval


def bootstrap(sample: Sample, draws: int, seed: int) -> Metric:
    """
    Return a metric with its 95 % interval.

    Shares of 0 and 1 get the Clopper-Pearson end. Raises ValueError without a finite metric.
    """
    rows = sample.rows
    metric = _bootstrap_interval(lambda weights: sample.statistic(*sample.columns, weights), rows, draws, seed)
    spread = TAIL ** (1 / rows)
    if sample.unit == "share" and metric.low == metric.high == 0:
        return Metric(0.0, 0.0, 1 - spread, rows, "share")
    if sample.unit == "share" and metric.low == metric.high == 1:
        return Metric(1.0, spread, 1.0, rows, "share")
    return Metric(metric.value, metric.low, metric.high, rows, sample.unit)


def bootstrap_difference(candidate: Sample, champion: Sample, draws: int, seed: int) -> Metric:
    """Return candidate - champion with its 95 % interval. Raises ValueError for unequal lengths."""
    rows, others = candidate.rows, champion.rows
    if rows != others:
        raise ValueError(f"paired samples: {rows} rows against {others}; evaluate both models on the same rows")

    def difference(weights: AnyArray) -> float:
        return candidate.statistic(*candidate.columns, weights) - champion.statistic(*champion.columns, weights)

    metric = _bootstrap_interval(difference, rows, draws, seed)
    return Metric(metric.value, metric.low, metric.high, rows, candidate.unit)


def wilson_interval(hits: int, rows: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of rows (Wilson 1927); it is (0, 1) without rows."""
    if not rows:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(1 - TAIL)
    share, scale = hits / rows, 1 + z * z / rows
    middle, half = share + z * z / (2 * rows), z * (share * (1 - share) / rows + (z / (2 * rows)) ** 2) ** 0.5
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _bootstrap_interval(statistic: Callable[[AnyArray], float], rows: int, draws: int, seed: int) -> Metric:
    value = float(statistic(np.ones(rows)))
    if not np.isfinite(value):
        raise ValueError(f"metric of {rows} rows: {value}, expected a finite number; leave the metric out")
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [statistic(np.bincount(rng.integers(rows, size=rows), minlength=rows).astype(float)) for _ in range(draws)]
    )  # each row weighs as often as it was drawn
    drawn = drawn[np.isfinite(drawn)]  # a draw may miss a rare category
    if not len(drawn):
        raise ValueError(f"metric of {rows} rows: undefined in all {draws} draws; add rows")
    low, high = np.quantile(drawn, _quantile_levels(drawn, value))
    return Metric(value, min(float(low), value), max(float(high), value), rows, "ratio")


def _quantile_levels(drawn: AnyArray, value: float) -> list[float]:
    """Return the interval's quantile levels, shifted by the median bias."""
    below = ((drawn < value).mean() + (drawn <= value).mean()) / 2  # ties count half
    edge = 0.5 / len(drawn)
    normal = NormalDist()
    bias = 2 * normal.inv_cdf(float(np.clip(below, edge, 1 - edge)))
    return [normal.cdf(bias + normal.inv_cdf(TAIL)), normal.cdf(bias - normal.inv_cdf(TAIL))]
