"""The measurements behind each algorithm's picture: elbow and silhouette, dendrogram, reachability."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import cophenet, dendrogram, leaves_list, linkage
from scipy.spatial.distance import pdist, squareform
from scipy.special import logsumexp

from adloom.arrays import Float64Array
from adloom.audience.model_selection import Candidate
from adloom.audience.segmenter import Segmenter

USERS = 1000  # behind the dendrogram and the reachability, which grow with their square
MERGES = 30  # last ones shown
DENSITY = ("dbscan", "hdbscan")


def measure_diagnostics(
    features: Float64Array, fitted: Sequence[tuple[Candidate, Segmenter]], neighbours: int
) -> dict[str, Any]:
    """Return the content of diagnostics.json; features are those of a sample of users (users, 5)."""
    if not fitted:
        return {}
    points = fitted[0][1].scale(features)
    algorithms = {candidate.algorithm for candidate, _ in fitted}
    curves = {
        "kmeans": _trace([(c, _compute_inertia(points, s)) for c, s in fitted if c.algorithm == "kmeans"]),
        "gaussian_mixture": _trace(
            [(c, _compute_bic(points, s)) for c, s in fitted if c.algorithm == "gaussian_mixture"]
        ),
    }
    found: dict[str, Any] = {name: curve for name, curve in curves.items() if curve}
    if "agglomerative" in algorithms:
        found["agglomerative"] = _build_dendrogram(points[:USERS])
    if algorithms & set(DENSITY):
        found["density"] = [round(value, 4) for value in _order_by_reachability(points[:USERS], neighbours).tolist()]
    return found


def _trace(values: Sequence[tuple[Candidate, float]]) -> list[dict[str, float | None]]:
    """Return a curve's points by number of clusters, with the silhouettes."""
    return [
        {"clusters": candidate.setting, "value": float(f"{value:.6g}"), "silhouette": candidate.silhouette}
        for candidate, value in values
    ]


def _compute_costs(points: Float64Array, segmenter: Segmenter) -> Float64Array:
    """Return the distance of each user to each prototype (users, prototypes)."""
    squares = (points[:, None] - segmenter.prototypes[None]) ** 2
    weighted = squares if segmenter.weights is None else squares * segmenter.weights
    costs: Float64Array = weighted.sum(axis=2) + (0.0 if segmenter.offsets is None else segmenter.offsets)
    return costs


def _compute_inertia(points: Float64Array, segmenter: Segmenter) -> float:
    """Return the mean squared distance of users to their nearest prototype."""
    return float(_compute_costs(points, segmenter).min(axis=1).mean())


def _compute_bic(points: Float64Array, segmenter: Segmenter) -> float:
    """Return the Bayesian information criterion per user of a Gaussian mixture (Schwarz 1978); less is better."""
    users, dimensions = points.shape
    components = len(segmenter.prototypes)
    density = logsumexp(-0.5 * _compute_costs(points, segmenter), axis=1) - 0.5 * dimensions * np.log(2 * np.pi)
    parameters = components * (2 * dimensions + 1) - 1
    return float(-2 * density.mean() + parameters * np.log(users) / users)


def _build_dendrogram(points: Float64Array) -> dict[str, Any]:
    """Return the corners of the last merges of Ward's tree, as scipy draws them."""
    tree = linkage(points, method="ward")
    drawn = dendrogram(tree, truncate_mode="lastp", p=MERGES, no_plot=True)
    heights = np.round(drawn["dcoord"], 4).tolist()
    return {"x": drawn["icoord"], "height": heights, "next_heights": np.round(tree[-MERGES:, 2], 4).tolist()}


def _order_by_reachability(points: Float64Array, neighbours: int) -> Float64Array:
    """
    Return the reachability of users in an order in which close ones are neighbours (Ankerst et al. 1999).

    Valleys are clusters, hills are noise.
    """
    distances = squareform(pdist(points))
    core = np.partition(distances, min(neighbours, len(points)) - 1, axis=1)[:, min(neighbours, len(points)) - 1]
    mutual = np.maximum(np.maximum(distances, core[:, None]), core[None])
    np.fill_diagonal(mutual, 0.0)
    tree = linkage(squareform(mutual, checks=False), method="single")
    order = leaves_list(tree)
    merged = squareform(cophenet(tree))
    return np.asarray(merged[order[:-1], order[1:]], dtype=np.float64)
