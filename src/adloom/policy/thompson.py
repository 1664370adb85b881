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
BLOCK = 400  # candidates, of which the arrays fit into the caches of the CPU
_STEPS = 64  # entries per standard deviation
_LOG_CDF = np.log(
    [math.erfc(-i / _STEPS / math.sqrt(2)) / 2 for i in range(int(-REACH * _STEPS), int(REACH * _STEPS) + 2)]
)
_SLOPE = np.append(np.diff(_LOG_CDF), 0.0)
_GRID = np.linspace(0, 1, NODES + 1)
_LEVELS = np.sin(_GRID[1:-1] * np.pi / 2) ** 2  # of the mass, dense at both ends


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
    deviation = np.sqrt(np.maximum(variances, MIN_DEVIATION**2))
    if len(scores) <= BLOCK:
        return _find_best(scores, deviation, sizes)
    ends = sizes.cumsum()
    first = np.flatnonzero(np.diff((ends - sizes) // BLOCK, prepend=-1)).tolist()  # request of each block
    blocks = [slice(start, stop) for start, stop in zip(first, [*first[1:], len(sizes)], strict=True)]
    rows = [slice(ends[block.start] - sizes[block.start], ends[block.stop - 1]) for block in blocks]
    parts = zip(blocks, rows, strict=True)
    return np.concatenate([_find_best(scores[part], deviation[part], sizes[block]) for block, part in parts])


def _find_best(scores: Float64Array, deviation: Float64Array, sizes: Int64Array) -> Float64Array:
    starts = sizes.cumsum() - sizes
    low, high = (np.maximum.reduceat(scores + sign * REACH * deviation, starts) for sign in (-1, 1))
    coarse = low[:, None] + (high - low)[:, None] * _GRID
    cumulative = np.exp(np.add.reduceat(_log_cdf(coarse, scores, deviation, sizes), starts, 0))
    nodes = coarse.copy()  # that share out the mass evenly
    for node, each, levels in zip(nodes, cumulative, _LEVELS * cumulative[:, -1:], strict=True):
        node[1:-1] = np.interp(levels, each, node)
    logs = _log_cdf(nodes, scores, deviation, sizes)
    cells = np.exp(np.add.reduceat(logs, starts, 0))
    growth = logs[:, 1:] - logs[:, :-1]
    share = (cells[:, 1:] - cells[:, :-1]) / np.maximum(np.add.reduceat(growth, starts, 0), 1e-300)
    growth *= share.repeat(sizes, 0)
    best = growth.sum(1)
    return np.asarray(best / np.add.reduceat(best, starts).repeat(sizes))


def _log_cdf(nodes: AnyArray, scores: Float64Array, deviation: Float64Array, sizes: Int64Array) -> AnyArray:
    """Return the log distribution functions of the candidates at their request's nodes (candidates, nodes)."""
    scale = _STEPS / deviation
    place = nodes.repeat(sizes, 0)
    place *= scale[:, None]
    place += (REACH * _STEPS - scores * scale)[:, None]
    np.clip(place, 0, 2 * REACH * _STEPS, out=place)
    index = place.astype(np.int64)
    place -= index
    place *= _SLOPE.take(index)
    place += _LOG_CDF.take(index)
    return place
