"""The shortlist gives the order of the exact products."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.arrays import Float32Array, Int8Array, Int32Array, UInt8Array
from adloom.recommendation.shortlist import Shortlist

ANY = np.zeros(1, np.int32)


@dataclass(frozen=True)
class Vectors:
    """Vectors of items, and of one user."""

    vectors: Float32Array
    user: Float32Array

    def embed(self, histories: Sequence[Int32Array]) -> Float32Array:
        """Return the user's vector for each history."""
        return np.stack([self.user for _ in histories])


def multiply(vector: UInt8Array, matrix: Int8Array) -> Int32Array:
    return vector.astype(np.int32) @ matrix.astype(np.int32)


def select(scorer: Vectors, n: int, seen: Int32Array = ANY[:0]) -> list[int]:
    return Shortlist.build(scorer, multiply).select(ANY, n, seen)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.sampled_from([5, 300, 1300]), st.sampled_from([0, 0.01, 1]))
def test_the_order_is_that_of_all_exact_products(seed: int, n: int, items: int, spread: float) -> None:
    """Items differ by more or less than a level, some are equal, and columns have scales of their own."""
    rng = np.random.default_rng(seed)
    vectors = ((1 + spread * rng.normal(size=(items, 6))) * [1e-3, 1, 1, 50, 0, 1]).astype(np.float32)
    vectors[rng.integers(0, items, items // 3)] = vectors[0]
    user, seen = rng.normal(size=6).astype(np.float32), rng.integers(0, items, 4).astype(np.int32)
    kept = np.setdiff1d(np.arange(items), seen)
    exact = (vectors[kept].astype(np.float64) * user).sum(axis=1)
    expected = kept[np.argsort(-exact, kind="stable")][:n].tolist()
    assert select(Vectors(vectors, user), n, seen) == expected


def test_users_and_items_without_direction_go_by_number() -> None:
    zeros = np.zeros((3, 2), np.float32)
    for vectors, user in ((zeros, np.ones(2, np.float32)), (zeros + 1, np.zeros(2, np.float32))):
        assert select(Vectors(vectors, user), 2) == [0, 1]
        assert select(Vectors(vectors, user), 9, np.arange(3, dtype=np.int32)) == []


def test_a_broken_vector_is_an_error_and_no_order() -> None:
    with pytest.raises(ValueError, match="the user's vector is not finite"):
        select(Vectors(np.ones((3, 2), np.float32), np.array([np.nan, 1], np.float32)), 2)
