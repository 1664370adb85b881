"""A limit to the weight of single users, so that no user, such as a bot, decides what a policy learns."""

from dataclasses import replace

import numpy as np

from adloom.arrays import Float64Array
from adloom.policy.impressions import Impressions
from adloom.policy.ope.clusters import Clusters

MIN_REWARDED = 10  # impressions of a user; with fewer, a large share of the rewards is chance


def cap_users(data: Impressions, max_share: float) -> tuple[Impressions, int]:
    """
    Weigh the impressions of users down who have more than a share of the rewards; return how many users that are.

    Afterwards each of them has this share of the weighted rewards. Unknown users are left alone.
    """
    clusters = Clusters(data.weight, data.user)
    rewards, rewarded = (clusters.sum_by_user(values) for values in (data.reward, (data.reward > 0).astype(float)))
    factors = find_factors(rewards, rewarded, data.total_reward, max_share)
    capped = int((factors < 1).sum())
    if not capped:
        return data, 0
    known = data.user >= 0
    return replace(data, weight=np.where(known, data.weight * factors[data.user.clip(min=0)], data.weight)), capped


def find_factors(rewards: Float64Array, rewarded: Float64Array, total: float, max_share: float) -> Float64Array:
    """
    Return the factor of each user's weight (users,), from their rewards and rewarded impressions (users,).

    If the limited users have all rewards, no share can be as small, and they get equal ones.
    """
    factors = np.ones(len(rewards))
    capped = 0
    for user in np.argsort(-rewards, kind="stable").tolist():
        rest = total - rewards[factors < 1].sum()  # of users who keep their weight
        room = 1 - capped * max_share
        if rewarded[user] < MIN_REWARDED or room <= max_share or rewards[user] * room <= max_share * rest:
            break
        factors[user] = 0.0
        capped += 1
    limited = factors < 1
    share = max_share / (1 - capped * max_share)  # of each limited user, relative to the rewards of the others
    others = total - rewards[limited].sum()
    level = share * others if others > 1e-9 * total else rewards[limited].min(initial=np.inf)
    factors[limited] = level / rewards[limited]
    return factors
