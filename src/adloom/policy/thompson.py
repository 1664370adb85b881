"""
Thompson sampling over a linear model: the probability that a creative has the highest score; needs NumPy only.

Scores are independent and normal. In a cell between two nodes, the mass of the maximum's distribution is shared out
by the growth of the candidates' log distribution functions, which is exact where their hazards are proportional.
Decisions are drawn from these probabilities, so the logged propensities are exact; ERROR bounds how far they are from
ideal Thompson sampling.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from adloom.arrays import AnyArray, Float32Array, Float64Array, Int64Array

ERROR = 0.006  # of a probability, where deviations differ by up to a factor of 50
NODES = 32  # cells of each of the two grids
REACH = 6.0  # standard deviations
MIN_DEVIATION = 1e-6
_STEPS = 64  # entries per standard deviation
_LOG_CDF = np.log(
    [math.erfc(-i / _STEPS / math.sqrt(2)) / 2 for i in range(int(-REACH * _STEPS), int(REACH * _STEPS) + 2)]
)
_SLOPE = np.append(np.diff(_LOG_CDF), 0.0)
_GRID = np.linspace(0, 1, NODES + 1)
_LEVELS = np.sin(_GRID[:-1] * np.pi / 2) ** 2  # of the mass, dense at both ends


@dataclass(frozen=True, eq=False)
class Variances:
    """The posterior variances of a policy's scores, as terms in the shapes of its arrays."""

    bias: Float32Array  # (creatives,)
    weights: tuple[Float32Array, ...]  # per feature (values + 1, creatives)
    prior: Float32Array  # (categories + 1,) of a creative without history

    def append(self, category: Int64Array) -> Self:
        """Return the variances with new creatives of these categories (new,)."""
        weights = (np.pad(values, ((0, 0), (0, len(category)))) for values in self.weights)
        return replace(self, bias=np.concatenate([self.bias, self.prior[category]]), weights=tuple(weights))

    def to_arrays(self) -> dict[str, AnyArray]:
        """Return the arrays by name."""
        weights = {f"variance_weights_{i}": values for i, values in enumerate(self.weights)}
        return {"variance_bias": self.bias, "variance_prior": self.prior, **weights}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray], features: int) -> Self | None:
        """Return the variances among some arrays, None if there are none."""
        if "variance_bias" not in arrays:
            return None
        weights = tuple(arrays[f"variance_weights_{i}"] for i in range(features))
        return cls(arrays["variance_bias"], weights, arrays["variance_prior"])


def find_best(scores: Float64Array, variances: Float64Array, counts: Sequence[int] | Int64Array) -> Float64Array:
    """Return the probabilities of the highest score of concatenated candidates (candidates,), `counts` per request."""
    sizes = np.asarray(counts)
    starts = sizes.cumsum() - sizes
    deviation = np.sqrt(np.maximum(variances, MIN_DEVIATION**2))
    low, high = (np.maximum.reduceat(scores + sign * REACH * deviation, starts) for sign in (-1, 1))
    coarse = low[:, None] + (high - low)[:, None] * _GRID
    logs = _log_cdf(coarse, scores, deviation, sizes)
    nodes = _place_nodes(coarse, np.exp(np.add.reduceat(logs, starts, 0)))
    logs = _log_cdf(nodes, scores, deviation, sizes)
    mass = np.diff(np.exp(np.add.reduceat(logs, starts, 0)))
    growth = np.diff(logs)
    share = mass / np.maximum(np.add.reduceat(growth, starts, 0), 1e-300)
    best = (growth * share.repeat(sizes, 0)).sum(1)
    return np.asarray(best / np.add.reduceat(best, starts).repeat(sizes))


def _log_cdf(nodes: AnyArray, scores: Float64Array, deviation: Float64Array, sizes: Int64Array) -> AnyArray:
    """Return the log distribution functions of the candidates at their request's nodes (candidates, nodes)."""
    scale = _STEPS / deviation
    place = nodes.repeat(sizes, 0) * scale[:, None] + (REACH * _STEPS - scores * scale)[:, None]
    place = place.clip(0, 2 * REACH * _STEPS)
    index = place.astype(np.int64)
    return np.asarray(_LOG_CDF.take(index) + _SLOPE.take(index) * (place - index))


def _place_nodes(coarse: AnyArray, cumulative: AnyArray) -> AnyArray:
    """Return nodes (requests, nodes) that share out the mass of a distribution on a coarse grid evenly."""
    level = _LEVELS * cumulative[:, -1:]
    cell = (cumulative[:, None, :] <= level[:, :, None]).sum(2).clip(1, NODES) - 1
    lower, upper = (np.take_along_axis(cumulative, cell + i, 1) for i in (0, 1))
    left, right = (np.take_along_axis(coarse, cell + i, 1) for i in (0, 1))
    inner = left + (right - left) * ((level - lower) / np.maximum(upper - lower, 1e-300)).clip(0, 1)
    return np.concatenate([coarse[:, :1], inner[:, 1:], coarse[:, -1:]], axis=1)
