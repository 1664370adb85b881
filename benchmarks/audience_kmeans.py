"""K-Means of `benchmarks/audience.py` by adloom, scikit-learn and faiss: CPU seconds to equal inertia."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from threadpoolctl import threadpool_limits

from adloom.arrays import AnyArray, Float64Array
from adloom.audience.fit import find_centres

USERS, FEATURES, CLUSTERS, SEEDS = 1_000_000, 16, 16, 5
MAX_EXCESS = 0.01  # of the inertia over the least of all
OVERLAPS = {"overlapping": 0.6, "touching": 1.0, "separate": 1.5}  # deviation of the groups' means
Fit = Callable[[Any, int], Float64Array]


def draw_users(deviation: float) -> Float64Array:
    """Return users (users, features) around CLUSTERS means, in groups of unequal size."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(CLUSTERS, FEATURES)) * deviation
    group = rng.choice(CLUSTERS, USERS, p=rng.dirichlet(np.full(CLUSTERS, 3.0)))
    return means[group] + rng.normal(size=(USERS, FEATURES))


def measure_inertia(users: Float64Array, centres: Float64Array) -> float:
    """Return the mean squared distance to the nearest centre."""
    parts = np.array_split(users, 100)
    return float(np.mean([((p**2).sum(1) + ((centres**2).sum(1) - 2 * p @ centres.T).min(1)).mean() for p in parts]))


def fit_ours(users: Float64Array, seed: int) -> Float64Array:
    return find_centres(users, CLUSTERS, seed)


def fit_kmeans(users: Float64Array, seed: int) -> Float64Array:
    return np.asarray(KMeans(CLUSTERS, random_state=seed).fit(users).cluster_centers_)


def fit_mini_batch(users: Float64Array, seed: int) -> Float64Array:
    return np.asarray(MiniBatchKMeans(CLUSTERS, random_state=seed).fit(users).cluster_centers_)


def build_faiss(points: int, starts: int) -> Fit:
    """Return faiss's K-Means on a sample of some points per cluster, from some random starts."""
    import faiss  # noqa: PLC0415 # only this peer needs it

    def fit(users: AnyArray, seed: int) -> Float64Array:
        model = faiss.Kmeans(FEATURES, CLUSTERS, seed=seed + 1, nredo=starts, max_points_per_centroid=points)
        model.train(users)
        return np.asarray(model.centroids, np.float64)

    return fit


def measure_kmeans(_: Path, __: int) -> None:
    """Print the CPU seconds and the excess inertia of each, as medians over the seeds, and the fastest peer's ratio."""
    peers: dict[str, Fit] = {"ours": fit_ours, "KMeans": fit_kmeans, "MiniBatchKMeans": fit_mini_batch}
    settings = ((256, 1), (256, 8), (512, 4), (512, 8), (1024, 4), (1024, 8))
    peers |= {f"faiss {points} points, {starts} starts": build_faiss(points, starts) for points, starts in settings}
    print(f"{'groups':<14}{'peer':<28}{'CPU s':>8}{'excess':>9}{'worst':>8}")
    for name, deviation in OVERLAPS.items():
        users = draw_users(deviation)
        floats = users.astype(np.float32)  # of faiss
        with threadpool_limits(1):
            costs = {
                peer: [
                    measure_fit(fit, floats if peer.startswith("faiss") else users, users, seed)
                    for seed in range(SEEDS)
                ]
                for peer, fit in peers.items()
            }
        least = min(inertia for runs in costs.values() for _, inertia in runs)
        equal: dict[str, float] = {}
        for peer, runs in costs.items():
            cpu, excess = median(cost for cost, _ in runs), [inertia / least - 1 for _, inertia in runs]
            if median(excess) <= MAX_EXCESS:
                equal[peer] = cpu
            print(f"{name:<14}{peer:<28}{cpu:>8.3f}{median(excess):>9.2%}{max(excess):>8.2%}", flush=True)
        others = {peer: cpu for peer, cpu in equal.items() if peer != "ours"}
        fastest = min(others, key=others.__getitem__)
        ratio = others[fastest] / equal["ours"] if "ours" in equal else 0.0
        print(f"{name}: {fastest} against ours {ratio:.2f}, expected at least 1", flush=True)


def measure_fit(fit: Fit, given: AnyArray, users: Float64Array, seed: int) -> tuple[float, float]:
    """Return the CPU seconds of a fit, and its inertia."""
    start = time.process_time()
    centres = fit(given, seed)
    return time.process_time() - start, measure_inertia(users, centres)
