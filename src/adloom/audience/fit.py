"""
Cluster users by K-Means, Ward's agglomerative clustering, Gaussian mixtures, DBSCAN or HDBSCAN.

K-Means, up to MAX_KMEANS_USERS, and mixtures use every user, the others a sample, because their memory grows with the
square of the users. Users are in the order of their pseudonyms, which is random, and the first ones are the sample: the
same users with every seed, and nearly the same when some join. One thread, because more add up in another order.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import DBSCAN, HDBSCAN, KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import adjusted_rand_score, silhouette_samples
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import ThreadpoolController

from adloom.arrays import BoolArray, Float64Array, Int64Array, IntegerArray
from adloom.audience.clusters import Clusters, build_segmenter, rebuild_segmenter
from adloom.audience.segmenter import FEATURES, FeatureScale, Segmenter, find_nearest
from adloom.audience.user_table import UserTable, stack_features
from adloom.config.audience import Segment

MAX_USERS = 50_000  # that clusterings are fitted to and compared on; more change them little
USE_EVERY_USER = {"kmeans", "gaussian_mixture"}
KMEANS_STARTS = 8  # of K-Means; the best one is used
MIN_VARIANCE = 1e-2  # of a Gaussian, so that one of equal users keeps a finite density
MAX_KMEANS_USERS = 25_000  # that K-Means starts on; of more it takes samples
SAMPLE_STARTS, START_SAMPLE, KMEANS_SAMPLE = 4, 4096, 16_384  # inertia within 1 % of the least (benchmarks/audience.py)
FIRST_ROWS = 1000  # searched for distinct ones before all
MIN_NEIGHBOURS = 2 * len(FEATURES)  # of a DBSCAN core, itself included: twice the dimensions (Sander et al. 1998)
RADIUS_QUANTILES = (0.6, 0.7, 0.8)  # of the distance to the last of these neighbours: the candidate radii of DBSCAN
CLUSTER_SHARES = (0.01, 0.04)  # of the users: the candidate smallest clusters of HDBSCAN


@cache
def _find_thread_pools() -> ThreadpoolController:
    """Return the libraries with threads; finding them takes as long as a small clustering."""
    return ThreadpoolController()


def list_settings(algorithm: str, params: Segment) -> Sequence[float]:
    """Return the candidate settings of an algorithm."""
    own_settings = {"dbscan": RADIUS_QUANTILES, "hdbscan": CLUSTER_SHARES}
    return own_settings.get(algorithm) or range(params.segments_min, params.segments_max + 1)


def fit_segmenters(
    features: Float64Array, algorithm: str, settings: Sequence[float], params: Segment, seed: int
) -> list[Segmenter]:
    """Cluster users by features (users, 5), NaN where null, once per setting, and merge segments that are too small."""
    features = np.ascontiguousarray(features)  # the memory layout changes the last digits of sums
    scale = FeatureScale.fit(features)
    with _find_thread_pools().limit(limits=1):
        all_clusters = _ALGORITHMS[algorithm](scale(features), settings, params.sample, seed)
    return [build_segmenter([features], scale, clusters, params.min_segment_size) for clusters in all_clusters]


def measure_distances(points: Float64Array) -> Float64Array:
    """Return the distance of each pair of users (users, users); points (users, features) are scaled."""
    with _find_thread_pools().limit(limits=1):
        return np.asarray(euclidean_distances(points), dtype=np.float64)


def silhouettes(distances: Float64Array, segment: Int64Array) -> Float64Array:
    """
    Return the silhouette of each user (users,) (Rousseeuw 1987), NaN if undefined.

    distances are (users, users), segment is (users,).
    """
    if not 1 < len(np.unique(segment)) < len(segment):
        return np.full(len(segment), np.nan)
    return np.asarray(silhouette_samples(distances, segment, metric="precomputed"), dtype=np.float64)


def predict_by_boosting(features: Float64Array, bought: BoolArray, learn: BoolArray) -> Float64Array:
    """
    Return the log odds that the users who are not in `learn` buy, by gradient boosting on the others' features.

    features (users, 5), NaN where null; equal odds when the others all bought, or none did.
    """
    if len(np.unique(bought[learn])) < 2:
        return np.zeros(int((~learn).sum()))
    with _find_thread_pools().limit(limits=1):
        model = HistGradientBoostingClassifier(learning_rate=0.05, max_leaf_nodes=8, early_stopping=False)
        scores = model.fit(features[learn], bought[learn]).decision_function(features[~learn])
    return np.asarray(scores, dtype=np.float64)


def adjusted_rand_index(one: Int64Array, other: Int64Array) -> float:
    """Return the adjusted Rand index of two assignments: 1 when equal, 0 as by chance."""
    return float(adjusted_rand_score(one, other))


def count_distinct(rows: Float64Array, most: int) -> int:
    """Return the number of distinct rows, at most `most`."""
    is_enough = len(np.unique(rows[:FIRST_ROWS], axis=0)) >= most  # as is usual
    return most if is_enough else min(most, len(np.unique(rows, axis=0)))


def draw_resample(features: Float64Array, algorithm: str, params: Segment, seed: Sequence[int]) -> Float64Array:
    """Return users drawn with replacement: as many as there are, or twice the sample of an algorithm that uses one."""
    size = len(features) if algorithm in USE_EVERY_USER else min(len(features), 2 * params.sample)
    return features[np.random.default_rng(seed).integers(len(features), size=size)]


def shrink_minimum(params: Segment, share: float) -> Segment:
    """Return params with the smallest segment of a share of the users."""
    return params.model_copy(update={"min_segment_size": max(1, int(params.min_segment_size * share))})


def apply_to_all(segmenter: Segmenter, users: UserTable, params: Segment) -> Segmenter:
    """Return a segmenter of a sample with its segments merged and numbered by all users."""
    if len(users) <= MAX_USERS:
        return segmenter
    return rebuild_segmenter(segmenter, users, params.min_segment_size)


def sample_users(users: UserTable) -> Float64Array:
    """Return the features of all users, or of the first MAX_USERS (users, 5)."""
    return stack_features(users.take(np.arange(min(len(users), MAX_USERS)), *FEATURES))


def draw_sample(users: int, size: int, seed: int) -> Int64Array:
    """Return the users of a random sample of at most this size, ascending."""
    sample = np.random.default_rng(seed).choice(users, min(users, size), replace=False)
    return np.sort(sample)


def draw_weighted_sample(scaled: Float64Array, size: int) -> Int64Array:
    """
    Return the users of a sample, ascending.

    Half of a user's chance is equal for all, half grows with the squared distance from the mean, so that small groups
    far out are in it (lightweight coresets, Bachem et al. 2018). The sample has the smallest ratios of a number to the
    chance (Efraimidis & Spirakis 2006); the numbers are exponential and ascend with the users.
    """
    squares = ((scaled - scaled.mean(axis=0)) ** 2).sum(axis=1)
    chance = 0.5 / len(scaled) + 0.5 * squares / max(squares.sum(), 1e-12)
    waiting = -np.log1p(-(np.arange(len(scaled)) + 0.5) / len(scaled)) / chance
    return np.sort(np.argsort(waiting, kind="stable")[:size])


def _fit_kmeans(scaled: Float64Array, settings: Sequence[float], _sample: int, seed: int) -> list[Clusters]:
    centres = [find_centres(scaled, int(setting), seed) for setting in settings]
    return [Clusters(found, np.arange(len(found))) for found in centres]


def find_centres(points: Float64Array, clusters: int, seed: int) -> Float64Array:
    """
    Return the centres (clusters, features) of Lloyd's algorithm from k-means++ starts (Arthur & Vassilvitskii 2007).

    Above MAX_KMEANS_USERS it starts on a sample, and continues from the best start on a larger one: mini-batches take
    longer to a larger inertia. There are at most as many clusters as distinct points.
    """
    starts, first = KMEANS_STARTS, points
    if len(points) > MAX_KMEANS_USERS:
        starts, points = SAMPLE_STARTS, points[:KMEANS_SAMPLE]
        first = points[:START_SAMPLE]
    most = count_distinct(first, clusters)
    model = KMeans(most, n_init=starts, random_state=seed).fit(first)
    if len(points) > len(first):
        model = KMeans(most, init=model.cluster_centers_, n_init=1).fit(points)
    return np.asarray(model.cluster_centers_, np.float64)


def _fit_agglomerative(scaled: Float64Array, settings: Sequence[float], sample: int, _seed: int) -> list[Clusters]:
    """
    Ward (1963) on a weighted sample: one tree, cut once per setting.

    The merges near its root change with few users, so Lloyd's algorithm on all users goes on from each cut (Husson et
    al. 2010).
    """
    points = scaled[draw_weighted_sample(scaled, sample)]
    tree = linkage(points, method="ward")
    cuts = [_average_clusters(points, fcluster(tree, int(setting), criterion="maxclust")) for setting in settings]
    return [_settle_centres(scaled, cut.prototypes) for cut in cuts]


def _settle_centres(points: Float64Array, centres: Float64Array) -> Clusters:
    """Return the clusters to which Lloyd's algorithm comes from given centres."""
    model = KMeans(len(centres), init=centres, n_init=1).fit(points)
    return Clusters(np.asarray(model.cluster_centers_, np.float64), np.arange(len(centres)))


def _fit_gaussian_mixture(scaled: Float64Array, settings: Sequence[float], _sample: int, seed: int) -> list[Clusters]:
    """Expectation-maximisation of Gaussians with own variances (Dempster et al. 1977)."""
    return [_fit_gaussians(scaled, find_centres(scaled, int(setting), seed)) for setting in settings]


def _fit_gaussians(scaled: Float64Array, centres: Float64Array) -> Clusters:
    """Return Gaussians as prototypes, fitted from K-Means centres; distance is -2 log density, up to a constant."""
    components = len(centres)
    nearest = find_nearest(scaled, centres)
    variances = [scaled[nearest == i].var(axis=0) + MIN_VARIANCE for i in range(components)]
    model = GaussianMixture(
        components,
        covariance_type="diag",
        reg_covar=MIN_VARIANCE,
        max_iter=500,
        weights_init=np.bincount(nearest, minlength=components) / len(scaled),
        means_init=centres,
        precisions_init=1 / np.array(variances),
        init_params="random_from_data",  # of no effect, and faster than the default
        random_state=0,
    ).fit(scaled)
    offsets = np.log(model.covariances_).sum(axis=1) - 2 * np.log(model.weights_)
    return Clusters(model.means_, np.arange(components), 1 / model.covariances_, offsets)


def _fit_dbscan(scaled: Float64Array, settings: Sequence[float], sample: int, _seed: int) -> list[Clusters]:
    """
    Ester et al. (1996) on a sample: a user belongs to the nearest core within the radius, and otherwise is noise.

    The radius is a quantile of distances to neighbour number MIN_NEIGHBOURS, the share of users that are cores.
    """
    points = scaled[:sample]
    distances, _ = NearestNeighbors(n_neighbors=min(MIN_NEIGHBOURS, len(points))).fit(points).kneighbors(points)
    return [_find_cores(points, float(np.quantile(distances[:, -1], quantile))) for quantile in settings]


def _find_cores(points: Float64Array, radius: float) -> Clusters:
    radius = max(radius, 1e-9)
    model = DBSCAN(eps=radius, min_samples=MIN_NEIGHBOURS).fit(points)
    cores = model.core_sample_indices_
    if len(cores) == 0:
        return _average_clusters(points, np.zeros(len(points), np.int64))
    noise = int(model.labels_.max()) + 1
    prototypes = np.vstack([points[cores], np.zeros(points.shape[1])])
    is_core = np.arange(len(prototypes)) < len(cores)
    weights = np.repeat(is_core[:, None].astype(np.float64), points.shape[1], axis=1)
    offsets = np.where(is_core, 0.0, radius**2 * (1 + 1e-12))  # a user at the radius is no noise
    return Clusters(prototypes, np.append(model.labels_[cores], noise).astype(np.int64), weights, offsets, noise)


def _fit_hdbscan(scaled: Float64Array, settings: Sequence[float], sample: int, _seed: int) -> list[Clusters]:
    """Campello et al. (2013) on a sample: a user belongs to the cluster, or noise, of the nearest sampled user."""
    points = scaled[:sample]
    neighbours = min(MIN_NEIGHBOURS, len(points))
    models = [
        HDBSCAN(max(2, round(share * len(points))), min_samples=neighbours, copy=True).fit(points) for share in settings
    ]
    return [_find_dense_clusters(points, model.labels_.astype(np.int64)) for model in models]


def _find_dense_clusters(points: Float64Array, label: Int64Array) -> Clusters:
    noise = int(label.max()) + 1
    return Clusters(points, np.where(label < 0, noise, label), noise=noise if noise > 0 and label.min() < 0 else None)


def _average_clusters(points: Float64Array, cluster: IntegerArray) -> Clusters:
    means = [points[cluster == c].mean(axis=0) for c in np.unique(cluster)]
    return Clusters(np.array(means), np.arange(len(means)))


_ALGORITHMS: Mapping[str, Callable[[Float64Array, Sequence[float], int, int], list[Clusters]]] = {
    "kmeans": _fit_kmeans,
    "agglomerative": _fit_agglomerative,
    "gaussian_mixture": _fit_gaussian_mixture,
    "dbscan": _fit_dbscan,
    "hdbscan": _fit_hdbscan,
}
