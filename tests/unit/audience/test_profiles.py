"""Profiles in words."""

import numpy as np
from tests.support.toy_shops import features, shop

from adloom.audience.profiles import describe_segments

NAN = np.nan


def test_names_compare_with_the_thirds_of_all_users() -> None:
    users = features(shop(240))
    profiles = describe_segments(users, np.arange(240) % 3, ["segment-1", "segment-2", "segment-3"])
    assert [profile.name for profile in profiles] == [
        "Recent frequent big spenders",
        "Lapsed repeat small spenders",
        "Lapsed one-time small spenders",
    ]
    assert [profile.users for profile in profiles] == [80, 80, 80]
    assert profiles[2].interpurchase_days is None


def test_medians_and_sentence_by_hand() -> None:
    users = np.array([[10, 3, 50, 100, 45], [20, 5, 70, 200, 45], [30, 9, 60.5, 300, 33.75], [9, 1, 2, 9, NAN]])
    first, second = describe_segments(users, np.array([0, 0, 0, 1]), ["segment-1", "segment-2"])
    assert (first.recency_days, first.frequency, first.monetary, first.tenure_days) == (20, 5, 60.5, 200)
    assert first.sentence == (
        "3 customers (75%). Typically 5 purchases, worth 60.50 in all; the first 200 and the last 20 days ago, "
        "45 days between purchases where there was more than one."
    )
    assert second.sentence == (
        "1 customer (25%). Typically 1 purchase, worth 2.00 in all; the first 9 and the last 9 days ago."
    )


def test_without_money_they_are_buyers_and_equal_names_tell_tenure() -> None:
    users = np.array([[10.0, 2, 0, 50, 5], [10.0, 2, 0, 90, 5], [400.0, 1, 0, 400, NAN]])
    names = [profile.name for profile in describe_segments(users, np.array([0, 1, 2]), ["a", "b", "c"])]
    assert names == [
        "Recent repeat buyers, first bought 50 days ago",
        "Recent repeat buyers, first bought 90 days ago",
        "Lapsed one-time buyers",
    ]


def test_equal_segments_are_numbered() -> None:
    users = np.array([[10.0, 2, 9, 50, 5], [10.0, 2, 9, 50, 5]])
    assert [profile.name for profile in describe_segments(users, np.array([0, 1]), ["a", "b"])] == [
        "Recent repeat small spenders, first bought 50 days ago (1)",
        "Recent repeat small spenders, first bought 50 days ago (2)",
    ]


def test_a_segment_without_users_has_no_profile() -> None:
    users = np.array([[10.0, 2, 0, 50, 5]])
    assert [profile.segment for profile in describe_segments(users, np.array([1]), ["a", "b"])] == ["b"]
