"""Clusterings: known groups, sizes, numbers, and equal results for equal seeds."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.toy_shops import CUT, features, shop
from threadpoolctl import threadpool_limits

from adloom.arrays import Float64Array
from adloom.audience import fit
from adloom.audience.features import select_features
from adloom.audience.segmenter import Segmenter
from adloom.audience.user_table import assign_users
from adloom.config.audience import Segment
from adloom.evaluation import statistics
from adloom.stages import user_files
from adloom.stages.user_files import write_below
from adloom.storage.table_scan import hold_rows

PARAMS = Segment(segments_min=2, segments_max=4, min_segment_size=5, bootstraps=3, sample=100)
DENSITY = {"dbscan": 0.97, "hdbscan": 0.2}
SETTING = {"kmeans": 3, "agglomerative": 3, "gaussian_mixture": 3, **DENSITY}


def one(users: Float64Array, algorithm: str, params: Segment = PARAMS, setting: float | None = None) -> Segmenter:
    return fit.fit_segmenters(users, algorithm, [setting or SETTING[algorithm]], params, seed=3)[0]


def equal(one: Segmenter, other: Segmenter) -> bool:
    return one.names == other.names and one.prototypes.tobytes() == other.prototypes.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", SETTING)
def test_three_known_groups_are_found_and_numbered_by_value(algorithm: str) -> None:
    users = features(shop(240))
    segmenter = one(users, algorithm)
    assert segmenter.index(users).tolist() == [number % 3 for number in range(240)]
    assert segmenter.names == ("segment-1", "segment-2", "segment-3")
    assert segmenter.assign(np.array([[1, 14, 1500, 350, 25], [340, 1, 4, 340, np.nan]])).tolist() == [
        "segment-1",
        "segment-3",
    ]


@pytest.mark.parametrize("algorithm", SETTING)
def test_the_same_users_give_the_same_bytes(algorithm: str) -> None:
    users = features(shop(120))
    assert equal(one(users, algorithm), one(np.asfortranarray(users), algorithm))


def test_kmeans_assigns_the_users_it_was_fitted_to_as_it_labelled_them() -> None:
    users = np.random.default_rng(0).exponential(20, (300, 5))
    segmenter = one(users, "kmeans", setting=4)
    scaled = segmenter.scale(users)
    means = np.array([scaled[segmenter.index(users) == i].mean(axis=0) for i in range(4)])
    np.testing.assert_allclose(means, segmenter.prototypes, atol=1e-6)  # a centre is the mean of its own users


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), minimum=st.integers(1, 60), algorithm=st.sampled_from(list(SETTING)))
def test_no_segment_is_smaller_than_the_minimum(seed: int, minimum: int, algorithm: str) -> None:
    users = np.random.default_rng(seed).exponential(20, (120, 5))
    segmenter = one(users, algorithm, PARAMS.model_copy(update={"min_segment_size": minimum}), setting=None)
    sizes = np.bincount(segmenter.index(users), minlength=len(segmenter.names))
    assert sizes.min() >= minimum
    spent = [users[segmenter.index(users) == i, 2].mean() for i in range(len(sizes))]
    assert spent == sorted(spent, reverse=True)


def test_a_small_segment_joins_its_nearest() -> None:
    rows = [[10.0, 10, 10, 10, 10]] * 20 + [[11.0, 11, 11, 11, 11]] * 3 + [[500.0, 500, 500, 500, 500]] * 20
    segmenter = one(np.array(rows), "kmeans")
    assert segmenter.index(rows).tolist() == [1] * 23 + [0] * 20
    assert len(segmenter.prototypes) == 3  # the small one's own centre still says where its users are


@pytest.mark.parametrize("algorithm", SETTING)
def test_users_with_one_purchase_each_are_clustered(algorithm: str) -> None:
    rng = np.random.default_rng(0)
    days = np.concatenate([rng.uniform(1, 9, 40), rng.uniform(300, 360, 40)])
    users = np.column_stack([days, np.ones(80), np.full(80, 5.0), days, np.full(80, np.nan)])
    segmenter = one(users, algorithm, setting=DENSITY.get(algorithm, 2))
    assert len(np.unique(segmenter.index(users)[:40])) == 1
    assert segmenter.index(users)[0] != segmenter.index(users)[-1]


@pytest.mark.parametrize("algorithm", SETTING)
def test_fewer_different_users_than_segments_make_fewer_segments(algorithm: str) -> None:
    users = np.array([[5.0, 1, 5, 5, np.nan]] * 30 + [[300.0, 9, 900, 350, 20]] * 30)
    assert len(one(users, algorithm, setting=DENSITY.get(algorithm, 4)).names) == 2


def test_dbscan_without_cores_gives_one_segment() -> None:
    users = np.geomspace(1, 1e6, 5)[:, None] * np.ones(5)
    assert one(users, "dbscan", PARAMS.model_copy(update={"min_segment_size": 1})).names == ("segment-1",)


def test_silhouette_by_hand_and_where_there_is_none() -> None:
    distances = fit.measure_distances(np.array([[0.0], [1.0], [5.0]]))
    assert fit.silhouettes(distances, np.array([0, 0, 1])).tolist() == pytest.approx([4 / 5, 3 / 4, 0])
    assert np.isnan(fit.silhouettes(distances, np.array([0, 0, 0]))).all()
    assert np.isnan(fit.silhouettes(distances, np.array([0, 1, 2]))).all()


@pytest.mark.parametrize("first", [1, 2000])
def test_distinct_rows_are_counted_up_to_a_limit(first: int) -> None:
    rows = np.repeat([[1.0, 2.0], [1.0, 3.0], [0.0, 2.0]], [first, 1, 1], axis=0)
    assert [fit.count_distinct(rows, most) for most in (2, 3, 4)] == [2, 3, 3]


def test_settings_are_numbers_of_segments_or_quantiles() -> None:
    assert list(fit.list_settings("kmeans", PARAMS)) == [2, 3, 4]
    assert list(fit.list_settings("dbscan", PARAMS)) == [0.6, 0.7, 0.8]
    assert list(fit.list_settings("hdbscan", PARAMS)) == [0.01, 0.04]


def test_clusterings_of_many_users_are_fitted_to_a_sample_and_applied_to_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = shop(240)
    events = hold_rows(rows[rows["split"] == "calibration"])
    table = write_below(tmp_path, len(rows))(select_features(events, CUT, "purchase"), "users")
    monkeypatch.setattr(fit, "MAX_USERS", 60)
    monkeypatch.setattr(user_files, "BATCH", 37)
    sample, params = fit.sample_users(table), PARAMS.model_copy(update={"min_segment_size": 40})
    segmenter = one(sample, "kmeans", fit.shrink_minimum(params, len(sample) / len(table)))
    found = fit.apply_to_all(segmenter, table, params)
    assert assign_users(found, table).tolist() == [number % 3 for number in range(240)]
    larger = fit.apply_to_all(segmenter, table, params.model_copy(update={"min_segment_size": 100}))
    assert len(larger.names) == 1  # groups of 80 are merged, which the sample could not tell


@pytest.mark.parametrize("algorithm", ["kmeans", "agglomerative", "gaussian_mixture"])
def test_one_whale_moves_nobody_else(algorithm: str) -> None:
    """One user has 99 % of all money: the others stay in their segments, and none has fewer than three."""
    users = features(shop(240))
    whale = users[:1] * np.array([1, 500, 1e7, 1, 0.01])
    segmenter = one(np.vstack([users, whale]), algorithm)
    assert segmenter.index(users).tolist() == [number % 3 for number in range(240)]
    assert len(segmenter.names) == 3


@pytest.mark.parametrize("algorithm", ["kmeans", "agglomerative", "gaussian_mixture"])
def test_a_nearly_constant_feature_makes_no_segments(algorithm: str) -> None:
    users = features(shop(240))
    users[:, 4] = 30.0
    without = one(users, algorithm).index(users).tolist()
    users[[0, 100], 4] = 3000.0  # two users differ
    assert one(users, algorithm).index(users).tolist() == without


def test_a_weighted_sample_has_the_far_users_and_changes_little_when_others_join() -> None:
    users = np.random.default_rng(0).normal(size=(5000, 5))
    users[::250] += 30
    rows = fit.draw_weighted_sample(users, 400)
    assert (rows % 250 == 0).sum() > 10  # an even sample has one or two
    stay = np.arange(5000) % 11 != 5
    before = np.flatnonzero(stay)[fit.draw_weighted_sample(users[stay], 400)]
    assert len(np.intersect1d(before, rows)) > 340


def test_boosting_finds_what_no_single_feature_says() -> None:
    rng = np.random.default_rng(0)
    users = rng.uniform(0, 1, (600, 5))
    users[::7, 4] = np.nan
    bought = (users[:, 0] > 0.5) != (users[:, 1] > 0.5)
    learn = np.arange(600) < 400
    scores = fit.predict_by_boosting(users, bought, learn)
    assert statistics.auc(bought[~learn], scores, np.ones(200)) > 0.95
    assert fit.predict_by_boosting(users, np.zeros(600, bool), learn).tolist() == [0.0] * 200


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Limit threads as `fit_segmenters` does: others would spin."""
    with threadpool_limits(limits=1):
        yield


@pytest.mark.usefixtures("one_thread")
def test_the_centres_of_many_users_come_from_samples_and_are_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(8, 3))[rng.integers(8, size=3000)] * 3 + rng.normal(size=(3000, 3))
    costs = []
    for most in (10_000, 100):
        monkeypatch.setattr(fit, "MAX_KMEANS_USERS", most)
        monkeypatch.setattr(fit, "START_SAMPLE", 500)
        monkeypatch.setattr(fit, "KMEANS_SAMPLE", 2000)
        centres, again = (fit.find_centres(points, 8, 3) for _ in range(2))
        assert centres.tobytes() == again.tobytes()
        costs.append(((points[:, None] - centres) ** 2).sum(axis=2).min(axis=1).mean())
    assert costs[1] < costs[0] * 1.02


@pytest.mark.usefixtures("one_thread")
def test_many_users_of_whom_nearly_all_are_equal_have_fewer_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MAX_KMEANS_USERS", 100)
    points = np.zeros((50_000, 2))
    points[:5] = 1.0
    assert len(fit.find_centres(points, 4, 3)) <= 2
