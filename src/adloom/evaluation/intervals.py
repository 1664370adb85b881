"""
Intervals: how far a metric could lie from its value had other test rows been drawn.

The bootstrap draws rows with replacement, as weights that count how often each row came. The interval is Efron's
bias-corrected percentile interval (Efron 1987, "Better bootstrap confidence intervals", with acceleration 0): the
plain percentile interval is shifted by the measured median bias of the draws, which matters for metrics that a resample
worsens (calibration error, Frechet distance), stays inside the metric's range and needs no normality. The acceleration
of the full BCa needs the statistic once per left-out row, too dear for thousands of rows and worth little there.
"""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from adloom.arrays import AnyArray
from adloom.evaluation.metric import Metric, Sample

TAIL = 0.025  # on each side of a 95 % interval


def bootstrap(sample: Sample, draws: int, seed: int) -> Metric:
    """
    Return a sample's metric with its 95 % interval.

    A share of exactly 0 or 1 has no spread to resample; its open end is that of Clopper and Pearson (1934).
    Raises ValueError when the sample has no rows, columns of several lengths, or a metric that is not finite.
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
    """
    Return the difference candidate - champion with its 95 % interval; row i of both is the same test row.

    Both are recomputed from the same drawn rows, so what makes a row hard for either cancels.
    Raises ValueError when the two do not have equally many rows.
    """
    rows, others = candidate.rows, champion.rows
    if rows != others:
        raise ValueError(f"paired samples: {rows} rows against {others}; both models must see the same rows")

    def difference(weights: AnyArray) -> float:
        return candidate.statistic(*candidate.columns, weights) - champion.statistic(*champion.columns, weights)

    metric = _bootstrap_interval(difference, rows, draws, seed)
    return Metric(metric.value, metric.low, metric.high, rows, candidate.unit)


def _bootstrap_interval(statistic: Callable[[AnyArray], float], rows: int, draws: int, seed: int) -> Metric:
    value = float(statistic(np.ones(rows)))
    if not np.isfinite(value):
        raise ValueError(f"a metric of {rows} rows is {value}; leave out what these rows cannot show")
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(_draw_weights(rng, rows)) for _ in range(draws)])
    drawn = drawn[np.isfinite(drawn)]  # a draw may lack, say, every row of a rare category
    if not len(drawn):
        raise ValueError(f"none of {draws} draws of {rows} rows has the metric; bring more rows")
    low, high = np.quantile(drawn, _quantile_levels(drawn, value))
    return Metric(value, min(float(low), value), max(float(high), value), rows, "ratio")


def _draw_weights(rng: np.random.Generator, rows: int) -> AnyArray:
    """Return how often each row came in `rows` draws with replacement: (rows,), multinomial."""
    return np.bincount(rng.integers(rows, size=rows), minlength=rows).astype(float)


def _quantile_levels(drawn: AnyArray, value: float) -> list[float]:
    """Return the two quantile levels of the interval, shifted by the median bias of the draws."""
    below = ((drawn < value).mean() + (drawn <= value).mean()) / 2  # ties count half
    edge = 0.5 / len(drawn)
    normal = NormalDist()
    bias = 2 * normal.inv_cdf(float(np.clip(below, edge, 1 - edge)))
    return [normal.cdf(bias + normal.inv_cdf(TAIL)), normal.cdf(bias - normal.inv_cdf(TAIL))]
