"""Purchases have the shape of CDNOW's: 2.96 orders per customer, 4.9 % with ten or more, 35.9 dollars each."""

import numpy as np
import pytest

from adloom.world.purchases import COHORT_WEEKS, SEGMENTS, WEEKS, draw_purchases

USERS = 20_000


def test_orders_have_the_shape_of_cdnow() -> None:
    purchases = draw_purchases(USERS, 7)
    orders = np.bincount(purchases.user, minlength=USERS)
    assert orders.min() == 1
    assert orders.mean() == pytest.approx(2.96, rel=0.1)
    assert (orders >= 10).mean() == pytest.approx(0.049, abs=0.01)
    assert (orders == 1).mean() == pytest.approx(0.505, abs=0.1)
    assert purchases.value.mean() == pytest.approx(35.9, rel=0.15)


def test_purchases_are_in_time_order_within_the_period() -> None:
    purchases = draw_purchases(USERS, 7)
    assert (np.diff(purchases.week) >= 0).all()
    assert purchases.week.max() < WEEKS
    first = purchases.week[np.unique(purchases.user, return_index=True)[1]]
    assert first.max() < COHORT_WEEKS


def test_frequent_buyers_buy_more_and_high_values_are_higher() -> None:
    purchases = draw_purchases(USERS, 7)
    segment = purchases.segment_of[purchases.user]
    orders = np.bincount(segment, minlength=SEGMENTS) / np.bincount(purchases.segment_of, minlength=SEGMENTS)
    value = np.bincount(segment, purchases.value) / np.bincount(segment)
    assert min(orders[2:]) > 2 * max(orders[:2])
    assert min(value[[1, 3]]) > 2 * max(value[[0, 2]])


def test_equal_seeds_draw_equal_purchases() -> None:
    one, same, other = (draw_purchases(100, seed) for seed in (1, 1, 2))
    assert one.week.tolist() == same.week.tolist() != other.week.tolist()
