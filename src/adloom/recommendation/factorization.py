"""Matrix factorisation of implicit feedback by alternating least squares (Hu, Koren and Volinsky 2008)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from threadpoolctl import threadpool_limits

from adloom.arrays import Float32Array, Float64Array, Int32Array
from adloom.config.recommendation import Factors
from adloom.recommendation.interactions import Interactions

START = 0.1  # standard deviation of the first factors


@dataclass(frozen=True)
class ItemFactors:
    """The factors of items; those of a user are solved from the user's items."""

    factor: Float32Array  # (items, factors)
    alpha: float  # confidence in an item that a user has, above that in one that the user has not
    regularization: float

    @classmethod
    def fit(cls, interactions: Interactions, params: Factors, seed: int) -> Self:
        """Alternate exact solutions of the factors of users and items, on one thread."""
        matrix = interactions.to_matrix()
        columns = matrix.T.tocsr()
        item = np.random.default_rng(seed).normal(0, START, (matrix.shape[1], params.factors))
        with threadpool_limits(1, "blas"):  # more threads round differently
            for _ in range(params.iterations):
                user = _solve_all(matrix, item, params)
                item = _solve_all(columns, user, params)
        return cls(item.astype(np.float32), params.alpha, params.regularization)

    def score(self, histories: Sequence[Int32Array]) -> Float32Array:
        """Return the products of the factors of each history's user and of the items (histories, items)."""
        scores: Float32Array = self.embed(histories) @ self.factor.T
        return scores

    @property
    def vectors(self) -> Float32Array:
        """The factors of the items (items, factors)."""
        return self.factor

    def embed(self, histories: Sequence[Int32Array]) -> Float32Array:
        """Return the factors of each history's user (histories, factors)."""
        users = [_solve(self.factor[np.unique(h)], self._gram, self.alpha).astype(np.float32) for h in histories]
        return np.stack(users)

    def to_arrays(self) -> Mapping[str, Any]:
        """Return the arrays of a file."""
        return {"factor": self.factor, "alpha": self.alpha, "regularization": self.regularization}

    @cached_property
    def _gram(self) -> Float64Array:
        return _compute_gram(self.factor.astype(np.float64), self.regularization)


def _solve_all(matrix: Any, factor: Float64Array, params: Factors) -> Float64Array:
    """Return the factors of each row of a matrix, given those of its columns."""
    gram = _compute_gram(factor, params.regularization)
    cells = zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
    return np.stack([_solve(factor[matrix.indices[start:end]], gram, params.alpha) for start, end in cells])


def _solve(present: Any, gram: Float64Array, alpha: float) -> Float64Array:
    """Return the factors that predict 1 for the present columns (columns, factors) and 0 for all others."""
    own = present.astype(np.float64)
    solution: Float64Array = np.linalg.solve(gram + alpha * own.T @ own, (1 + alpha) * own.sum(axis=0))
    return solution


def _compute_gram(factor: Float64Array, regularization: float) -> Float64Array:
    gram: Float64Array = factor.T @ factor + regularization * np.eye(factor.shape[1])
    return gram
