"""Purchases of users: the BG/NBD model of their times and the gamma-gamma model of their values, fitted to CDNOW."""

from dataclasses import dataclass

import numpy as np

from adloom.arrays import AnyArray, Int64Array

WEEKS = 78.0  # observed, of which the first purchases are in the first COHORT_WEEKS
COHORT_WEEKS = 12.0
SEGMENTS = 4  # rare or frequent buyers × low or high values
FREQUENT = 0.03  # purchases per week, above which a buyer is frequent
HIGH = 3.2  # scale of values, above which they are high
MIN_RATE = 1e-9


@dataclass(frozen=True)
class PurchaseModel:
    """Parameters with the highest likelihood of CDNOW's 69,659 orders, in weeks and dollars."""

    rate_shape: float = 0.257  # purchases per week are gamma distributed over users
    rate_weeks: float = 5.136  # inverse scale
    dropout_a: float = 0.485  # a user's chance to leave after a purchase is beta distributed
    dropout_b: float = 1.985
    value_shape: float = 8.048  # a user's values are gamma distributed
    spread_shape: float = 3.638  # the inverse of their scale is gamma distributed over users
    spread_value: float = 10.749


@dataclass(frozen=True)
class Purchases:
    """Purchases in time order, and the users' segments."""

    user: Int64Array  # (purchases,)
    week: AnyArray  # (purchases,) since the beginning
    value: AnyArray  # (purchases,)
    segment_of: Int64Array  # (users,)


def draw_purchases(users: int, seed: int) -> Purchases:
    """Draw the purchases of users during WEEKS."""
    model, rng = PurchaseModel(), np.random.default_rng([seed, 1])
    rate = np.maximum(rng.gamma(model.rate_shape, 1 / model.rate_weeks, users), MIN_RATE)
    leaves = rng.beta(model.dropout_a, model.dropout_b, users)
    scale = 1 / rng.gamma(model.spread_shape, 1 / model.spread_value, users)
    buyers, weeks = [], []
    active, week = np.arange(users), rng.uniform(0, COHORT_WEEKS, users)
    while len(active):
        buyers.append(active)
        weeks.append(week)
        later = week + rng.exponential(1 / rate[active])
        stays = (rng.random(len(active)) >= leaves[active]) & (later < WEEKS)
        active, week = active[stays], later[stays]
    user, when = np.concatenate(buyers), np.concatenate(weeks)
    order = np.argsort(when, kind="stable")
    user = user[order]
    value = rng.gamma(model.value_shape, scale[user]).round(2)
    return Purchases(user, when[order], value, 2 * (rate > FREQUENT) + (scale > HIGH))
