"""The segmenter: scale by hand, nearest prototype, invalid inputs, and its file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adloom.audience.segmenter import FeatureScale, Segmenter, find_nearest
from adloom.errors import ArtifactError, DataError

E = np.e
NAN = np.nan


@pytest.fixture
def segmenter() -> Segmenter:
    """Return one that sends users with more than about e - 1 purchases to segment-1."""
    scale = FeatureScale(np.full(5, E - 1), np.ones(5), np.ones(5))
    prototypes = np.array([[0.0, 1, 0, 0, 0], [0, -1, 0, 0, 0], [0, -9, 0, 0, 0]])
    return Segmenter(scale, prototypes, np.array([0, 1, 1]), ("segment-1", "segment-2"))


def test_scale_by_hand() -> None:
    scale = FeatureScale.fit(np.array([[0.0, 7, NAN], [E**2 - 1, 7, NAN], [NAN, 7, NAN]]))
    median = (E**2 - 1) / 2
    logs = np.log1p([0, E**2 - 1, median])
    assert scale.median.tolist() == [pytest.approx(median), 7, 0]  # a feature that is always null counts as 0
    assert scale.mean.tolist() == pytest.approx([logs.mean(), np.log(8), 0])
    assert scale.deviation.tolist() == pytest.approx([logs.std(), 1, 1])  # one that is always equal has no scale


def test_users_get_the_segment_of_the_nearest_prototype(segmenter: Segmenter) -> None:
    users = [[1, 30, 1, 1, 1], [1, 0, 1, 1, 1], [NAN, NAN, 1, 1, NAN]]
    assert segmenter.assign(np.array(users)).tolist() == [
        "segment-1",
        "segment-2",
        "segment-1",
    ]  # the first where equally near


def test_no_users_get_no_segments(segmenter: Segmenter) -> None:
    assert segmenter.assign(np.zeros((0, 5))).tolist() == []


@pytest.mark.parametrize(
    ("users", "message"),
    [
        ([[1, 1, -5, 1, 1]], r"^monetary: -5.0 in row 0; expected a number from 0, or null$"),
        ([[1, 1, 1, 1, 1], [np.inf, 1, 1, 1, 1]], r"^recency_days: inf in row 1; expected"),
        ([1, 1, 1, 1, 1], r"^features: shape \(5,\), expected \(users, 5\): recency_days, frequency"),
        ([[1, 1]], r"^features: shape \(1, 2\)"),
    ],
)
def test_invalid_features_are_refused(segmenter: Segmenter, users: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        segmenter.assign(users)  # type: ignore[arg-type] # what a caller may get wrong


@settings(max_examples=30, deadline=None)
@given(
    points=hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.just(5)), elements=st.floats(-9, 9, width=32)),
    prototypes=hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(5)), elements=st.floats(-9, 9, width=32)),
)
def test_nearest_is_nearest_and_the_same_alone_and_in_a_batch(points: np.ndarray, prototypes: np.ndarray) -> None:
    indices = find_nearest(points, prototypes)
    distances = np.linalg.norm(points[:, None] - prototypes[None], axis=2)
    np.testing.assert_allclose(distances[np.arange(len(points)), indices], distances.min(axis=1))
    assert [find_nearest(point[None], prototypes)[0] for point in points] == indices.tolist()


def test_more_distances_than_fit_at_a_time() -> None:
    prototypes = np.random.default_rng(0).normal(size=(70_000, 5))
    assert find_nearest(prototypes[[5, 69_999, 0]], prototypes).tolist() == [5, 69_999, 0]


def test_a_segmenter_survives_its_file_byte_by_byte(segmenter: Segmenter, tmp_path: Path) -> None:
    segmenter.save(tmp_path / "one.npz")
    loaded = Segmenter.load(tmp_path / "one.npz")
    loaded.save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    users = np.random.default_rng(0).exponential(5, (50, 5))
    assert loaded.assign(users).tolist() == segmenter.assign(users).tolist()


def test_an_invalid_segmenter_file_is_refused(segmenter: Segmenter, tmp_path: Path) -> None:
    path = tmp_path / "segmenter.npz"
    with pytest.raises(ArtifactError, match=r"segmenter.npz: missing; make or fetch "):
        Segmenter.load(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(ArtifactError, match=r"segmenter.npz: expected an npz with features, median"):
        Segmenter.load(path)
    np.savez(path, features=np.array(["age"]))
    with pytest.raises(ArtifactError, match="median is not a file in the archive"):
        Segmenter.load(path)
    segmenter.save(path)
    with np.load(path) as loaded:
        arrays = dict(loaded)
    np.savez(path, **(arrays | {"features": np.array(["age"])}))
    with pytest.raises(ArtifactError, match="features age, expected recency_days, frequency"):
        Segmenter.load(path)
    np.savez(path, **(arrays | {"names": np.array(["segment-1", None])}), allow_pickle=True)
    with pytest.raises(ArtifactError, match="Object arrays cannot be loaded"):
        Segmenter.load(path)
