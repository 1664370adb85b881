"""
Clustering: K-Means, Ward's agglomerative clustering and DBSCAN, each turned into a Segmenter.

All three work on scaled features with Euclidean distances. K-Means sees every user; the other two see a sample, since
their memory grows with its square. Everything runs on one thread: K-Means on more adds up in another order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import DBSCAN, KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_samples
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from adloom.arrays import Float64Array, Int64Array, IntegerArray
from adloom.audience.segmenter import FEATURES, FeatureScale, Segmenter, find_nearest
from adloom.config.params import Segment

KMEANS_STARTS = 8  # of K-Means; the best one counts
MIN_NEIGHBOURS = 2 * len(FEATURES)  # of a DBSCAN core, itself included: twice the dimensions (Sander et al. 1998)
RADIUS_QUANTILES = (0.6, 0.7, 0.8)  # of the distance to the last of these neighbours: the radii DBSCAN is tried with

FREQUENCY, MONETARY = FEATURES.index("frequency"), FEATURES.index("monetary")


@dataclass(frozen=True)
class Clusters:
    """What an algorithm found: prototypes (prototypes, features), scaled, and each one's cluster (prototypes,)."""

    prototypes: Float64Array
    cluster: Int64Array


def list_settings(algorithm: str, params: Segment) -> Sequence[float]:
    """Return the settings of an algorithm that compete."""
    return RADIUS_QUANTILES if algorithm == "dbscan" else range(params.segments_min, params.segments_max + 1)


def fit_segmenters(
    features: Float64Array, algorithm: str, tried: Sequence[float], params: Segment, seed: int
) -> list[Segmenter]:
    """
    Cluster users by their features (users, 5), NaN where null, once per setting; the seed draws samples and starts.

    A segment of fewer than params.min_segment_size of these users is merged into its nearest.
    """
    features = np.ascontiguousarray(features)  # sums over another memory layout have other last digits
    scale = FeatureScale.of(features)
    scaled = scale(features)
    with threadpool_limits(limits=1):
        found = _ALGORITHMS[algorithm](scaled, tried, params.sample, seed)
    return [_build_segmenter(features, scale, scaled, clusters, params.min_segment_size) for clusters in found]


def silhouettes(points: Float64Array, segment: Int64Array) -> Float64Array:
    """
    Return how much nearer each user is to its own segment than to the next, in [-1, 1] (users,).

    Rousseeuw (1987). points (users, features), scaled; segment (users,). NaN when there is one segment only, or as many
    as users.
    """
    if not 1 < len(np.unique(segment)) < len(segment):
        return np.full(len(segment), np.nan)
    with threadpool_limits(limits=1):
        return np.asarray(silhouette_samples(points, segment), dtype=np.float64)


def adjusted_rand_index(one: Int64Array, other: Int64Array) -> float:
    """Return the adjusted Rand index of two assignments of the same users: 1 when equal, 0 when as by chance."""
    return float(adjusted_rand_score(one, other))


def draw_sample(users: int, size: int, seed: int) -> Int64Array:
    """Return which users are in a sample of at most this size, ascending."""
    chosen = np.random.default_rng(seed).choice(users, min(users, size), replace=False)
    return np.sort(chosen)


def _fit_kmeans(scaled: Float64Array, tried: Sequence[float], _sample: int, seed: int) -> list[Clusters]:
    """Lloyd's algorithm from k-means++ starts (Arthur & Vassilvitskii 2007)."""
    most = len(np.unique(scaled, axis=0))  # there cannot be more clusters than different users
    models = [KMeans(min(int(setting), most), n_init=KMEANS_STARTS, random_state=seed).fit(scaled) for setting in tried]
    return [Clusters(model.cluster_centers_, np.arange(model.n_clusters)) for model in models]


def _fit_agglomerative(scaled: Float64Array, tried: Sequence[float], sample: int, seed: int) -> list[Clusters]:
    """Ward (1963) on a sample: one tree, cut once per setting; a user belongs to the nearest cluster's mean."""
    points = scaled[draw_sample(len(scaled), sample, seed)]
    tree = linkage(points, method="ward")
    return [_average_clusters(points, fcluster(tree, int(setting), criterion="maxclust")) for setting in tried]


def _fit_dbscan(scaled: Float64Array, tried: Sequence[float], sample: int, seed: int) -> list[Clusters]:
    """
    Ester et al. (1996) on a sample: a user belongs to the nearest core, and so does what DBSCAN calls noise.

    The radius is a quantile of the distances to the MIN_NEIGHBOURS-th neighbour: that share of the users are cores.
    """
    points = scaled[draw_sample(len(scaled), sample, seed)]
    distances, _ = NearestNeighbors(n_neighbors=min(MIN_NEIGHBOURS, len(points))).fit(points).kneighbors(points)
    return [_find_cores(points, float(np.quantile(distances[:, -1], quantile))) for quantile in tried]


def _find_cores(points: Float64Array, radius: float) -> Clusters:
    model = DBSCAN(eps=max(radius, 1e-9), min_samples=MIN_NEIGHBOURS).fit(points)
    cores = model.core_sample_indices_
    if len(cores) == 0:
        return _average_clusters(points, np.zeros(len(points), np.int64))
    return Clusters(points[cores], model.labels_[cores].astype(np.int64))


def _average_clusters(points: Float64Array, cluster: IntegerArray) -> Clusters:
    clusters = np.unique(cluster)
    return Clusters(np.array([points[cluster == c].mean(axis=0) for c in clusters]), np.arange(len(clusters)))


_ALGORITHMS: Mapping[str, Callable[[Float64Array, Sequence[float], int, int], list[Clusters]]] = {
    "kmeans": _fit_kmeans,
    "agglomerative": _fit_agglomerative,
    "dbscan": _fit_dbscan,
}


def _build_segmenter(
    features: Float64Array, scale: FeatureScale, scaled: Float64Array, found: Clusters, minimum: int
) -> Segmenter:
    """Merge what is too small, number by value, and order the prototypes, so that equal clusterings are equal bytes."""
    prototype = find_nearest(scaled, found.prototypes)
    found, prototype = _drop_empty(found, prototype)
    cluster = _merge_small(scaled, prototype, found.cluster, minimum)
    cluster = _renumber_by_value(features, prototype, cluster)
    order = np.lexsort((*found.prototypes.T, cluster))
    names = tuple(f"segment-{number}" for number in range(1, int(cluster.max()) + 2))
    return Segmenter(scale, found.prototypes[order], cluster[order], names)


def _drop_empty(found: Clusters, prototype: Int64Array) -> tuple[Clusters, Int64Array]:
    """Leave out clusters that no user belongs to; prototype (users,) is the nearest of each user."""
    kept = np.isin(found.cluster, found.cluster[prototype])
    return Clusters(found.prototypes[kept], found.cluster[kept]), (np.cumsum(kept) - 1)[prototype]


def _merge_small(scaled: Float64Array, prototype: Int64Array, cluster: Int64Array, minimum: int) -> Int64Array:
    """Return each prototype's cluster after the smallest has joined its nearest, until none has fewer users."""
    while True:
        present, sizes = np.unique(cluster[prototype], return_counts=True)
        if len(present) == 1 or sizes.min() >= minimum:
            return cluster
        smallest = sizes.argmin()
        means = np.array([scaled[cluster[prototype] == c].mean(axis=0) for c in present])
        others = np.delete(present, smallest)
        into = others[find_nearest(means[[smallest]], np.delete(means, smallest, axis=0))[0]]
        cluster = np.where(cluster == present[smallest], into, cluster)


def _renumber_by_value(features: Float64Array, prototype: Int64Array, cluster: Int64Array) -> Int64Array:
    """Return the clusters renumbered from 0: the highest mean spending first, then the highest mean frequency."""
    of_user = cluster[prototype]
    present = np.unique(of_user)
    worth = np.array([features[of_user == c][:, (FREQUENCY, MONETARY)].mean(axis=0) for c in present])
    order = np.lexsort(-worth.T)  # the last key, spending, is the first to count
    return np.argsort(order)[np.searchsorted(present, cluster)]
