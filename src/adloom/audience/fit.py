"""
Cluster users by K-Means, Ward's agglomerative clustering or DBSCAN, each turned into a Segmenter.

K-Means uses every user, the others a sample, because their memory grows with its square. One thread, because K-Means on
more adds up in another order.
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
from adloom.config.audience import Segment

MAX_USERS = 50_000  # that clusterings are fitted to and compared on; more change them little
KMEANS_STARTS = 8  # of K-Means; the best one is used
MIN_NEIGHBOURS = 2 * len(FEATURES)  # of a DBSCAN core, itself included: twice the dimensions (Sander et al. 1998)
RADIUS_QUANTILES = (0.6, 0.7, 0.8)  # of the distance to the last of these neighbours: the candidate radii of DBSCAN

FREQUENCY, MONETARY = FEATURES.index("frequency"), FEATURES.index("monetary")


@dataclass(frozen=True)
class Clusters:
    """Prototypes (prototypes, features), scaled, and the cluster of each (prototypes,)."""

    prototypes: Float64Array
    cluster: Int64Array


def list_settings(algorithm: str, params: Segment) -> Sequence[float]:
    """Return the candidate settings of an algorithm."""
    return RADIUS_QUANTILES if algorithm == "dbscan" else range(params.segments_min, params.segments_max + 1)


def fit_segmenters(
    features: Float64Array, algorithm: str, settings: Sequence[float], params: Segment, seed: int
) -> list[Segmenter]:
    """Cluster users by features (users, 5), NaN where null, once per setting, and merge segments that are too small."""
    features = np.ascontiguousarray(features)  # the memory layout changes the last digits of sums
    scale = FeatureScale.fit(features)
    scaled = scale(features)
    with threadpool_limits(limits=1):
        all_clusters = _ALGORITHMS[algorithm](scaled, settings, params.sample, seed)
    return [_build_segmenter(features, scale, scaled, clusters, params.min_segment_size) for clusters in all_clusters]


def silhouettes(points: Float64Array, segment: Int64Array) -> Float64Array:
    """
    Return the silhouette of each user (users,) (Rousseeuw 1987), NaN if undefined.

    points (users, features) are scaled; segment is (users,).
    """
    if not 1 < len(np.unique(segment)) < len(segment):
        return np.full(len(segment), np.nan)
    with threadpool_limits(limits=1):
        return np.asarray(silhouette_samples(points, segment), dtype=np.float64)


def adjusted_rand_index(one: Int64Array, other: Int64Array) -> float:
    """Return the adjusted Rand index of two assignments: 1 when equal, 0 as by chance."""
    return float(adjusted_rand_score(one, other))


def limit_users(features: Float64Array, params: Segment) -> tuple[Float64Array, Segment]:
    """Return a sample of at most MAX_USERS users, and params with a smallest segment in proportion to it."""
    if len(features) <= MAX_USERS:
        return features, params
    smallest = max(1, params.min_segment_size * MAX_USERS // len(features))
    sample = features[draw_sample(len(features), MAX_USERS, params.seed)]
    return sample, params.model_copy(update={"min_segment_size": smallest})


def apply_to_all(segmenter: Segmenter, features: Float64Array, params: Segment) -> Segmenter:
    """Return a segmenter of a sample with its segments merged and numbered by all users' features (users, 5)."""
    if len(features) <= MAX_USERS:
        return segmenter
    clusters = Clusters(segmenter.prototypes, segmenter.segment)
    return _build_segmenter(features, segmenter.scale, segmenter.scale(features), clusters, params.min_segment_size)


def draw_sample(users: int, size: int, seed: int) -> Int64Array:
    """Return the users of a random sample of at most this size, ascending."""
    sample = np.random.default_rng(seed).choice(users, min(users, size), replace=False)
    return np.sort(sample)


def _fit_kmeans(scaled: Float64Array, settings: Sequence[float], _sample: int, seed: int) -> list[Clusters]:
    """Lloyd's algorithm from k-means++ starts (Arthur & Vassilvitskii 2007)."""
    most = len(np.unique(scaled, axis=0))  # at most one cluster per distinct user
    models = [
        KMeans(min(int(setting), most), n_init=KMEANS_STARTS, random_state=seed).fit(scaled) for setting in settings
    ]
    return [Clusters(model.cluster_centers_, np.arange(model.n_clusters)) for model in models]


def _fit_agglomerative(scaled: Float64Array, settings: Sequence[float], sample: int, seed: int) -> list[Clusters]:
    """Ward (1963) on a sample: one tree, cut once per setting, and the clusters' means."""
    points = scaled[draw_sample(len(scaled), sample, seed)]
    tree = linkage(points, method="ward")
    return [_average_clusters(points, fcluster(tree, int(setting), criterion="maxclust")) for setting in settings]


def _fit_dbscan(scaled: Float64Array, settings: Sequence[float], sample: int, seed: int) -> list[Clusters]:
    """
    Ester et al. (1996) on a sample: a user, noise included, belongs to the nearest core.

    The radius is a quantile of distances to neighbour number MIN_NEIGHBOURS, the share of users that are cores.
    """
    points = scaled[draw_sample(len(scaled), sample, seed)]
    distances, _ = NearestNeighbors(n_neighbors=min(MIN_NEIGHBOURS, len(points))).fit(points).kneighbors(points)
    return [_find_cores(points, float(np.quantile(distances[:, -1], quantile))) for quantile in settings]


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
    features: Float64Array, scale: FeatureScale, scaled: Float64Array, clusters: Clusters, minimum: int
) -> Segmenter:
    """Merge small clusters, number by value and sort, so that equal clusterings are equal bytes."""
    prototype = find_nearest(scaled, clusters.prototypes)
    clusters, prototype = _drop_empty(clusters, prototype)
    cluster = _merge_small(scaled, prototype, clusters.cluster, minimum)
    cluster = _renumber_by_value(features, prototype, cluster)
    order = np.lexsort((*clusters.prototypes.T, cluster))
    names = tuple(f"segment-{number}" for number in range(1, int(cluster.max()) + 2))
    return Segmenter(scale, clusters.prototypes[order], cluster[order], names)


def _drop_empty(clusters: Clusters, prototype: Int64Array) -> tuple[Clusters, Int64Array]:
    """Drop clusters without users; prototype (users,) is each user's nearest."""
    populated = np.isin(clusters.cluster, clusters.cluster[prototype])
    return Clusters(clusters.prototypes[populated], clusters.cluster[populated]), (np.cumsum(populated) - 1)[prototype]


def _merge_small(scaled: Float64Array, prototype: Int64Array, cluster: Int64Array, minimum: int) -> Int64Array:
    """Return each prototype's cluster after merging small clusters into their nearest."""
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
    """Return the clusters numbered from 0: by mean spending, then mean frequency, both descending."""
    of_user = cluster[prototype]
    present = np.unique(of_user)
    worth = np.array([features[of_user == c][:, (FREQUENCY, MONETARY)].mean(axis=0) for c in present])
    order = np.lexsort(-worth.T)  # the last key, spending, sorts first
    return np.argsort(order)[np.searchsorted(present, cluster)]
