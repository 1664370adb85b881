"""Purchase rates per segment, learnt from one half of the users and judged on the other, and what others reach."""

import numpy as np

from adloom.arrays import BoolArray, Float64Array, Int64Array
from adloom.evaluation import statistics
from adloom.evaluation.metric import Sample


def rate_auc(segment: Int64Array, bought: BoolArray, learn: BoolArray) -> Sample:
    """
    Return the sample of the AUC of segment rates: one row per user who is not in `learn`.

    All arrays are (users,). A segment without users in `learn` has the overall rate.
    """
    users = np.bincount(segment, learn, minlength=segment.max() + 1)
    buyers = np.bincount(segment, learn & bought, minlength=segment.max() + 1)
    overall = buyers.sum() / max(users.sum(), 1)
    rate = np.divide(buyers, users, out=np.full(len(users), overall), where=users > 0)
    return Sample((bought[~learn].astype(np.int8), rate[segment[~learn]]), statistics.auc, "auc")


def compare_auc(rates: Sample, recency: Float64Array, boosting: Float64Array) -> dict[str, Sample]:
    """
    Return the samples of the AUC of recency alone and of boosting, and of how far segments are below the better one.

    recency in days and boosting's scores are those of the users who are not in `learn` (users,).
    """
    bought, rate = rates.columns
    return {
        "recency_auc": Sample((bought, -recency), statistics.auc, "auc"),
        "boosting_auc": Sample((bought, boosting), statistics.auc, "auc"),
        "auc_gap": Sample((bought, rate, -recency, boosting), _measure_gap, "auc"),
    }


def _measure_gap(
    bought: Int64Array, rate: Float64Array, recency: Float64Array, boosting: Float64Array, weights: Float64Array
) -> float:
    ours, *others = (statistics.auc(bought, score, weights) for score in (rate, recency, boosting))
    return max(others) - ours
