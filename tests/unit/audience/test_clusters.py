"""Clusters become segments: small ones merge, noise stays apart unless it is small."""

import numpy as np
import pytest

from adloom.arrays import Float64Array
from adloom.audience.clusters import Clusters, build_segmenter, rebuild_segmenter
from adloom.audience.segmenter import FeatureScale, Segmenter

PLAIN = FeatureScale(np.zeros(5), np.zeros(5), np.ones(5))


def on_a_line(values: list[float]) -> Float64Array:
    """Return users that differ in recency alone, so that the scaled value is the given one."""
    users = np.zeros((len(values), 5))
    users[:, 0] = np.expm1(values)
    return users


def prototypes(values: list[float]) -> Float64Array:
    return np.array([[value, 0.0, 0, 0, 0] for value in values])


def with_noise(reach: float) -> Clusters:
    weights = np.ones((3, 5)) * np.array([[1.0], [1.0], [0.0]])
    return Clusters(prototypes([1, 3, 0]), np.arange(3), weights, np.array([0, 0, reach**2]), noise=2)


def segments(segmenter: Segmenter, users: Float64Array) -> list[str]:
    return list(segmenter.assign(users))


def test_users_far_from_every_cluster_are_noise() -> None:
    users = on_a_line([1, 1.1, 3, 3.1, 2, 5])
    segmenter = build_segmenter([users], PLAIN, with_noise(0.5), minimum=2)
    found = segments(segmenter, users)
    assert found[4] == found[5] == segmenter.noise
    assert len({found[0], found[2], found[4]}) == 3
    assert found[0] == found[1]


def test_users_of_a_small_noise_cluster_go_to_their_own_nearest_clusters() -> None:
    users = on_a_line([1, 1.1, 1, 3, 3.1, 3, 1.8, 5])
    segmenter = build_segmenter([users], PLAIN, with_noise(0.5), minimum=3)
    found = segments(segmenter, users)
    assert segmenter.noise is None
    assert (found[6], found[7]) == (found[0], found[3])


def test_a_small_cluster_is_merged_into_its_nearest_and_not_into_noise() -> None:
    users = on_a_line([1, 1, 1, 3, 3.9, 3.9, 3.9])
    segmenter = build_segmenter([users], PLAIN, with_noise(0.5), minimum=3)
    found = segments(segmenter, users)
    assert found[3] == found[0]
    assert found[4] == segmenter.noise


def test_weights_and_offsets_move_the_border() -> None:
    users = on_a_line([1, 1.5, 2.5, 3])
    plain = Clusters(prototypes([1, 3]), np.arange(2))
    heavy = Clusters(prototypes([1, 3]), np.arange(2), np.array([[9.0] * 5, [1.0] * 5]), np.array([0.0, -0.5]))
    assert len(set(segments(build_segmenter([users], PLAIN, plain, 1), users)[:2])) == 1
    assert len(set(segments(build_segmenter([users], PLAIN, heavy, 1), users)[:2])) == 2  # 9 * 0.25 > 2.25 - 0.5


def test_a_segmenter_of_a_sample_is_numbered_by_all_users() -> None:
    sample = np.array([[1.0, 1, 100, 1, 1]] * 4 + [[50.0, 1, 10, 1, 1]] * 4)
    scale = FeatureScale.fit(sample)
    clusters = Clusters(scale(sample)[[0, 4]], np.arange(2))
    segmenter = build_segmenter([sample], scale, clusters, 1)
    assert segments(segmenter, sample[[0, 4]]) == ["segment-1", "segment-2"]
    everyone = np.vstack([sample, [[5000.0, 1, 150, 1, 1]] * 9])
    rebuilt = rebuild_segmenter(segmenter, [sample, everyone[len(sample) :]], 1)
    assert segments(rebuilt, sample[[0, 4]]) == ["segment-2", "segment-1"]  # the other half turns out to spend more


@pytest.mark.parametrize("minimum", [1, 3])
def test_equal_clusters_in_another_order_are_equal_bytes(minimum: int) -> None:
    users = on_a_line([1, 1.1, 3, 3.1, 1.9, 5])
    one = build_segmenter([users], PLAIN, with_noise(0.5), minimum)
    other = build_segmenter([users], PLAIN, with_noise(0.5).select(np.array([2, 1, 0])), minimum)
    assert one.names == other.names
    assert one.prototypes.tobytes() == other.prototypes.tobytes()
    assert segments(one, users) == segments(other, users)
