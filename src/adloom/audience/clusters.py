"""Turn clusters into a Segmenter: merge small ones and number the rest, so that equal clusters are equal bytes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from adloom.arrays import AnyArray, BoolArray, Float64Array, Int64Array
from adloom.audience.exact_sums import sum_groups
from adloom.audience.segmenter import FEATURES, FeatureScale, Segmenter, find_nearest

WORTH = [FEATURES.index("frequency"), FEATURES.index("monetary")]


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


@dataclass(frozen=True)
class _Totals:
    """The users that are nearest to each prototype."""

    users: Int64Array  # (prototypes,)
    scaled: Float64Array  # (prototypes, features), sums of their scaled features
    worth: Float64Array  # (prototypes, 2), sums of frequency and spending

    @classmethod
    def sum(cls, batches: Iterable[Float64Array], scale: FeatureScale, clusters: Clusters) -> "_Totals":
        parts = ((batch, scale(batch)) for batch in batches)
        columns = ((np.hstack([s, b[:, WORTH], np.ones((len(b), 1))]), clusters.find_nearest(s)) for b, s in parts)
        sums = sum_groups(columns, len(clusters.prototypes), len(FEATURES) + len(WORTH) + 1)
        return cls(sums[:, -1].astype(np.int64), sums[:, : len(FEATURES)], sums[:, len(FEATURES) : -1])


def build_segmenter(
    batches: Iterable[Float64Array], scale: FeatureScale, clusters: Clusters, minimum: int
) -> Segmenter:
    """
    Return the segmenter of users without clusters of fewer of them than the minimum; batches are read once or twice.

    A small cluster is merged into its nearest; the users of a small noise cluster go to their own nearest clusters.
    Each batch has the features of some users (users, features).
    """
    totals = _Totals.sum(batches, scale, clusters)
    if _has_small_noise(totals, clusters, minimum):
        clusters = clusters.select(clusters.cluster != clusters.noise)
        totals = _Totals.sum(batches, scale, clusters)
    populated = np.isin(clusters.cluster, clusters.cluster[totals.users > 0])
    clusters = clusters.select(populated)
    totals = _Totals(totals.users[populated], totals.scaled[populated], totals.worth[populated])
    cluster = _renumber_by_value(totals, _merge_small(totals, clusters, minimum))
    order = np.lexsort((*clusters.prototypes.T, cluster))
    names = tuple(f"segment-{number}" for number in range(1, int(cluster.max()) + 2))
    noise = None if clusters.noise is None else names[cluster[np.argmax(clusters.cluster == clusters.noise)]]
    ordered = clusters.select(order)
    return Segmenter(scale, ordered.prototypes, cluster[order], names, ordered.weights, ordered.offsets, noise)


def rebuild_segmenter(segmenter: Segmenter, batches: Iterable[Float64Array], minimum: int) -> Segmenter:
    """Return a segmenter of a sample with its segments merged and numbered by all users, in batches of features."""
    noise = None if segmenter.noise is None else segmenter.names.index(segmenter.noise)
    arrays = (segmenter.prototypes, segmenter.segment, segmenter.weights, segmenter.offsets)
    return build_segmenter(batches, segmenter.scale, Clusters(*arrays, noise), minimum)


def _has_small_noise(totals: _Totals, clusters: Clusters, minimum: int) -> bool:
    is_noise = clusters.cluster == clusters.noise
    return clusters.noise is not None and not is_noise.all() and bool(totals.users[is_noise].sum() < minimum)


def _merge_small(totals: _Totals, clusters: Clusters, minimum: int) -> Int64Array:
    """Return each prototype's cluster after merging small clusters into their nearest, into noise only at last."""
    cluster = clusters.cluster
    while True:
        present = np.unique(cluster)
        sizes, scaled = (_add_up(values, cluster, present) for values in (totals.users, totals.scaled))
        if len(present) == 1 or sizes.min() >= minimum:
            return cluster
        smallest = present[sizes.argmin()]
        others = present[(present != smallest) & (present != clusters.noise)]
        others = others if len(others) else present[present != smallest]
        into = find_neighbour(dict(zip(present.tolist(), scaled / sizes[:, None], strict=True)), smallest, others)
        cluster = np.where(cluster == smallest, into, cluster)


def find_neighbour(means: Mapping[int, Float64Array], one: int, others: Int64Array) -> int:
    """Return the other cluster with the nearest mean of scaled features; means has that of each cluster."""
    points = np.array([means[c] for c in (one, *others.tolist())])
    return int(others[find_nearest(points[:1], points[1:])[0]])


def _renumber_by_value(totals: _Totals, cluster: Int64Array) -> Int64Array:
    """Return the clusters numbered from 0: by mean spending, then mean frequency, both descending."""
    present = np.unique(cluster)
    users, worth = (_add_up(values, cluster, present) for values in (totals.users, totals.worth))
    order = np.lexsort(-(worth / users[:, None]).T)  # the last key, spending, sorts first
    return np.argsort(order)[np.searchsorted(present, cluster)]


def _add_up(values: AnyArray, cluster: Int64Array, present: Int64Array) -> AnyArray:
    """Return the sum of the prototypes' values per cluster."""
    return np.array([values[cluster == c].sum(axis=0) for c in present])
