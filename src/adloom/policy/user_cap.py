"""A limit to the weight of single users, so that no user, such as a bot, decides what a policy learns."""

from dataclasses import replace

import numpy as np

from adloom.arrays import Float64Array
from adloom.policy.impressions import Impressions
from adloom.policy.ope.clusters import Clusters

MIN_CLICKS = 10  # of a user; with fewer, a large share of the clicks is chance


def cap_users(data: Impressions, max_share: float) -> tuple[Impressions, int]:
    """
    Weigh the impressions of users down who have more than a share of the clicks; return how many users that are.

    Afterwards each of them has this share of the weighted clicks. Unknown users are left alone.
    """
    clicks = Clusters(data.weight, data.user).sum_by_user(data.reward)
    factors = _find_factors(clicks, data.total_reward, max_share)
    capped = int((factors < 1).sum())
    if not capped:
        return data, 0
    known = data.user >= 0
    return replace(data, weight=np.where(known, data.weight * factors[data.user.clip(min=0)], data.weight)), capped


def _find_factors(clicks: Float64Array, total: float, max_share: float) -> Float64Array:
    """Return the factor of each user's weight (users,)."""
    factors = np.ones(len(clicks))
    capped = 0
    for user in np.argsort(-clicks, kind="stable").tolist():
        rest = total - clicks[factors < 1].sum()  # clicks of users who keep their weight
        room = 1 - capped * max_share
        if clicks[user] < MIN_CLICKS or room <= max_share or clicks[user] * room <= max_share * rest:
            break
        factors[user] = 0.0
        capped += 1
    limited = factors < 1
    share = max_share / (1 - capped * max_share)  # of each limited user, relative to the clicks of the others
    factors[limited] = share * (total - clicks[limited].sum()) / clicks[limited]
    return factors
