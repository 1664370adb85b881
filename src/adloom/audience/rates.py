"""Purchase rates per segment, learnt from one half of the users and judged on the other."""

import numpy as np

from adloom.arrays import BoolArray, Int64Array
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
