"""Profiles in words: names from what distinguishes a segment and from its own numbers."""

import numpy as np
import pytest
from tests.support.toy_shops import features, shop

from adloom.arrays import Float64Array
from adloom.audience.profiles import Profile, SegmentHistory, describe_segments
from adloom.audience.segmenter import FeatureScale, Segmenter

NAN = np.nan
NAMES = ("segment-1", "segment-2", "segment-3")


@pytest.fixture(scope="module")
def users() -> Float64Array:
    """Return the shop's three groups: regular, occasional and lost users."""
    return features(shop(240))


def make_segmenter(users: Float64Array, noise: str | None = None) -> Segmenter:
    """Return a segmenter of three names that scales by these users."""
    return Segmenter(FeatureScale.fit(users), np.zeros((3, 5)), np.arange(3), NAMES, noise=noise)


def effect(profile: Profile, feature: str) -> float:
    return (profile.effects or {})[feature]


def describe(rows: list[list[float]], segment: list[int]) -> list[Profile]:
    users = np.array(rows)
    return describe_segments([users[:1], users[1:]], np.array(segment), make_segmenter(users))


def test_names_say_loyalty_value_and_recency(users: Float64Array) -> None:
    profiles = describe_segments([users], np.arange(240) % 3, make_segmenter(users))
    assert [profile.name for profile in profiles] == [
        "Loyal, high value, recently active",
        "Repeat, low value, lately silent",
        "One-time, low value, not seen again",
    ]
    assert [profile.users for profile in profiles] == [80, 80, 80]
    assert profiles[2].interpurchase_days is None
    assert sum(profile.value_share or 0 for profile in profiles) == pytest.approx(1, abs=1e-3)
    assert effect(profiles[0], "frequency") > 2
    assert effect(profiles[2], "frequency") < 0


def test_the_most_recent_of_long_lost_users_are_not_recent() -> None:
    rows = [[1874.0 + i, 5, 50, 2500, 30] for i in range(20)] + [[2400.0 + i, 5, 50, 2500, 30] for i in range(20)]
    first, second = describe(rows, [0] * 20 + [1] * 20)
    assert effect(first, "recency_days") < -0.5
    assert "last bought 1884 days ago" in first.name
    assert "recent" not in (first.name + second.name).lower()


def test_users_who_all_bought_yesterday_are_not_silent() -> None:
    rows: list[list[float]] = [[1.0, 5, 50, 300, 30]] * 20 + [[2.0, 1, 50, 300, NAN]] * 20
    assert all("silent" not in profile.name and "seen" not in profile.name for profile in describe(rows, [0, 1] * 20))


def test_new_users_are_new_only_in_a_shop_with_older_ones() -> None:
    rows: list[list[float]] = [[5.0, 2, 50, 20, 10]] * 20 + [[5.0, 2, 50, 400, 10]] * 20
    new, old = describe(rows, [0] * 20 + [1] * 20)
    assert (new.name[:3], old.name[:6]) == ("New", "Repeat")
    assert not describe(rows[:20], [0] * 20)[0].name.startswith("New")


def test_medians_and_sentence_by_hand() -> None:
    rows: list[list[float]] = [[10, 3, 50, 100, 45], [20, 5, 70, 200, 45], [30, 9, 60.5, 300, 33.75], [9, 1, 2, 9, NAN]]
    first, second = describe(rows, [0, 0, 0, 1])
    assert (first.recency_days, first.frequency, first.monetary, first.tenure_days) == (20, 5, 60.5, 200)
    assert first.value_share == pytest.approx(180.5 / 182.5, abs=1e-4)
    assert (first.purchases_per_customer, first.value_per_customer) == (5.67, 60.17)  # 17 / 3, 180.5 / 3
    assert first.sentence == (
        "3 customers (75%, 99% of what all spent). Typically the last purchase is 20 days ago (all customers: 15), the "
        "first 200 (150); 5 purchases (4), worth 60.50 (55.25) in all, 45 days between purchases where there was more "
        "than one."
    )
    assert second.sentence.startswith("1 customer (25%, 1% of what all spent).")
    assert "1 purchase (4)" in second.sentence
    users = np.array(rows)
    euros = describe_segments([users], np.array([0, 0, 0, 1]), make_segmenter(users), currency="EUR")[0]
    assert (euros.currency, "worth 60.50 EUR (55.25) in all" in euros.sentence) == ("EUR", True)


def test_cohens_d_by_hand() -> None:
    """Medians say little of spread: scaled values of 1, 2, 3 against 5, 6, 7 differ by 4 deviations of 1."""
    recency = np.expm1([1.0, 2, 3, 5, 6, 7])
    rows = [[value, 1, 5, 9, NAN] for value in recency.tolist()]
    first, second = describe(rows, [0, 0, 0, 1, 1, 1])
    assert (effect(first, "recency_days"), effect(second, "recency_days")) == (-4, 4)
    assert effect(first, "frequency") == 0  # all are equal


def test_without_money_no_value_is_named_and_equal_names_tell_what_differs() -> None:
    rows = [[10.0, 2, 0, 150, 5], [10.0, 2, 0, 190, 5], [400.0, 1, 0, 400, NAN]]
    profiles = describe(rows, [0, 1, 2])
    assert [profile.name for profile in profiles] == [
        "Repeat, recently active, first bought 150 days ago",
        "Repeat, recently active, first bought 190 days ago",
        "One-time, last bought 400 days ago",
    ]
    assert profiles[0].value_share is profiles[0].value_per_customer is None


def test_equal_segments_are_numbered() -> None:
    names = [profile.name for profile in describe([[10.0, 2, 9, 150, 5]] * 2, [0, 1])]
    assert [name[-4:] for name in names] == [" (1)", " (2)"]


def test_a_segment_without_users_has_no_profile() -> None:
    assert [profile.segment for profile in describe([[10.0, 2, 0, 50, 5]], [1])] == ["segment-2"]


def test_noise_is_unusual(users: Float64Array) -> None:
    profiles = describe_segments([users], np.arange(240) % 3, make_segmenter(users, noise="segment-2"))
    assert [profile.name.startswith("Unusual, ") for profile in profiles] == [False, True, False]


def test_lift_and_journey_by_hand(users: Float64Array) -> None:
    early, now = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 0, 2, 1, 1, 1, 1])
    bought = np.array([True, True, True, False, True, False, False, False])
    history = SegmentHistory(early, now, bought)
    first, second, third = describe_segments([users], np.arange(240) % 3, make_segmenter(users), history=history)
    assert (first.lift, second.lift, third.lift) == (1.5, 0.5, None)
    assert first.journey == {"segment-1": 0.75, "segment-3": 0.25}
    assert (second.journey, third.journey) == ({"segment-2": 1.0}, None)


def test_trend_is_against_the_champions_segment_of_the_same_id(users: Float64Array) -> None:
    previous = [{"segment": "segment-1", "users": 64, "value_share": 0.7}, {"segment": "segment-2", "users": 160}]
    first, second, third = describe_segments([users], np.arange(240) % 3, make_segmenter(users), previous=previous)
    assert first.trend is not None
    assert first.trend["users"] == 0.25
    assert first.trend["value_share"] == pytest.approx((first.value_share or 0) - 0.7)
    assert (second.trend, third.trend) == ({"users": -0.5}, None)  # an older version has no shares of value
