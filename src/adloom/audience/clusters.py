"""Turn clusters into a Segmenter: merge small ones and number the rest, so that equal clusters are equal bytes."""

from dataclasses import dataclass

import numpy as np

from adloom.arrays import BoolArray, Float64Array, Int64Array
from adloom.audience.segmenter import FEATURES, FeatureScale, Segmenter, find_nearest

FREQUENCY, MONETARY = FEATURES.index("frequency"), FEATURES.index("monetary")


@dataclass(frozen=True)
class Clusters:
    """Prototypes (prototypes, features), scaled, and the cluster of each (prototypes,); distances as in Segmenter."""

    prototypes: Float64Array
    cluster: Int64Array
    weights: Float64Array | None = None
    offsets: Float64Array | None = None
    noise: int | None = None  # the cluster of users that are unlike all others

    def find_nearest(self, scaled: Float64Array) -> Int64Array:
        """Return each user's nearest prototype (users,)."""
        return find_nearest(scaled, self.prototypes, self.weights, self.offsets)

    def select(self, rows: BoolArray | Int64Array) -> "Clusters":
        """Return the clusters of some prototypes."""
        weights, offsets = (None if array is None else array[rows] for array in (self.weights, self.offsets))
        cluster = self.cluster[rows]
        noise = self.noise if self.noise in cluster else None
        return Clusters(self.prototypes[rows], cluster, weights, offsets, noise)


def build_segmenter(features: Float64Array, scale: FeatureScale, clusters: Clusters, minimum: int) -> Segmenter:
    """
    Return the segmenter of the users' features (users, features), without clusters of fewer users than the minimum.

    A small cluster is merged into its nearest; the users of a small noise cluster go to their own nearest clusters.
    """
    scaled = scale(features)
    clusters, prototype = _drop_small_noise(scaled, clusters, minimum)
    clusters, prototype = _drop_empty(clusters, prototype)
    merged = _merge_small(scaled, prototype, clusters, minimum)
    cluster = _renumber_by_value(features, prototype, merged)
    order = np.lexsort((*clusters.prototypes.T, cluster))
    names = tuple(f"segment-{number}" for number in range(1, int(cluster.max()) + 2))
    noise = None if clusters.noise is None else names[cluster[np.argmax(clusters.cluster == clusters.noise)]]
    ordered = clusters.select(order)
    return Segmenter(scale, ordered.prototypes, cluster[order], names, ordered.weights, ordered.offsets, noise)


def rebuild_segmenter(segmenter: Segmenter, features: Float64Array, minimum: int) -> Segmenter:
    """Return a segmenter of a sample with its segments merged and numbered by all users' features (users, features)."""
    noise = None if segmenter.noise is None else segmenter.names.index(segmenter.noise)
    arrays = (segmenter.prototypes, segmenter.segment, segmenter.weights, segmenter.offsets)
    return build_segmenter(features, segmenter.scale, Clusters(*arrays, noise), minimum)


def _drop_small_noise(scaled: Float64Array, clusters: Clusters, minimum: int) -> tuple[Clusters, Int64Array]:
    prototype = clusters.find_nearest(scaled)
    is_noise = clusters.cluster == clusters.noise
    if clusters.noise is None or is_noise.all() or is_noise[prototype].sum() >= minimum:
        return clusters, prototype
    rest = clusters.select(~is_noise)
    return rest, rest.find_nearest(scaled)


def _drop_empty(clusters: Clusters, prototype: Int64Array) -> tuple[Clusters, Int64Array]:
    """Drop clusters without users; prototype (users,) is each user's nearest."""
    populated = np.isin(clusters.cluster, clusters.cluster[prototype])
    return clusters.select(populated), (np.cumsum(populated) - 1)[prototype]


def _merge_small(scaled: Float64Array, prototype: Int64Array, clusters: Clusters, minimum: int) -> Int64Array:
    """Return each prototype's cluster after merging small clusters into their nearest, into noise only at last."""
    cluster = clusters.cluster
    while True:
        present, sizes = np.unique(cluster[prototype], return_counts=True)
        if len(present) == 1 or sizes.min() >= minimum:
            return cluster
        smallest = present[sizes.argmin()]
        others = present[(present != smallest) & (present != clusters.noise)]
        others = others if len(others) else present[present != smallest]
        into = find_neighbour(scaled, cluster[prototype], smallest, others)
        cluster = np.where(cluster == smallest, into, cluster)


def find_neighbour(scaled: Float64Array, cluster: Int64Array, one: int, others: Int64Array) -> int:
    """Return the other cluster with the nearest mean; cluster (users,) is each user's."""
    means = np.array([scaled[cluster == c].mean(axis=0) for c in (one, *others)])
    return int(others[find_nearest(means[:1], means[1:])[0]])


def _renumber_by_value(features: Float64Array, prototype: Int64Array, cluster: Int64Array) -> Int64Array:
    """Return the clusters numbered from 0: by mean spending, then mean frequency, both descending."""
    of_user = cluster[prototype]
    present = np.unique(of_user)
    worth = np.array([features[of_user == c][:, (FREQUENCY, MONETARY)].mean(axis=0) for c in present])
    order = np.lexsort(-worth.T)  # the last key, spending, sorts first
    return np.argsort(order)[np.searchsorted(present, cluster)]
