"""The items with the largest products with a user's vector: 8-bit products find a few, exact ones rank those."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from adloom.arrays import Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, UInt8Array

ITEM_LEVELS, USER_LEVELS = 127, 63  # on each side of zero; sums of two products fit 16 bits, as some CPUs need
ZERO = 64  # level of zero of a user
BLOCK = 128  # items of which only the highest score is compared, which takes a tenth of the time
LEAST = np.iinfo(np.int32).min

Product = Callable[[UInt8Array, Int8Array], Int32Array]  # (width,), (width, items) -> (items,)


class VectorScorer(Protocol):
    """A recommender whose scores are products of vectors of users and items."""

    @property
    def vectors(self) -> Float32Array:
        """The vectors of the items (items, width)."""
        ...

    def embed(self, histories: Sequence[Int32Array]) -> Float32Array:
        """Return the vectors of the users with these histories (histories, width)."""
        ...


@dataclass(frozen=True)
class Shortlist:
    """Items in levels of 8 bits, which take a quarter of the memory to read."""

    scorer: VectorScorer
    vectors: Float32Array  # (items, width)
    scale: Float64Array  # (width,): of a level
    levels: Int8Array  # (width, items)
    longest: float  # the largest norm of an item, in levels
    rounding: float  # the largest norm of an item's rounding, in levels
    offset: Int32Array  # (items,): products with a user at zero
    multiply: Product

    @classmethod
    def build(cls, scorer: VectorScorer, multiply: Product) -> Self:
        """Round the vectors of the items."""
        vectors = scorer.vectors
        scale = np.abs(vectors).max(axis=0).astype(np.float64) / ITEM_LEVELS
        scaled = vectors / np.where(scale > 0, scale, 1)  # of an empty column, 0
        levels = np.rint(scaled)
        longest, rounding = (np.linalg.norm(each, axis=1).max() for each in (levels, scaled - levels))
        offset = ZERO * levels.sum(axis=1).astype(np.int32)
        columns = np.ascontiguousarray(levels.T, np.int8)
        return cls(scorer, vectors, scale, columns, float(longest), float(rounding), offset, multiply)

    def select(self, history: Int32Array, n: int, seen: Int32Array) -> list[int]:
        """
        Return the n items with the largest exact products, without those seen; ties go to the smaller number.

        Every item that rounding may have lowered below the n-th is multiplied exactly. Raises ValueError for a vector
        with infinite values.
        """
        vector = self.scorer.embed([history])[0].astype(np.float64)
        scaled = vector * self.scale
        scaled /= np.abs(scaled).max() / USER_LEVELS or 1.0
        if not np.isfinite(scaled).all():
            raise ValueError("the user's vector is not finite; run `adloom recommend` again")
        level = np.rint(scaled)
        products = self.multiply((level + ZERO).astype(np.uint8), self.levels)
        products -= self.offset
        products[seen] = LEAST
        error = self.longest * np.linalg.norm(scaled - level) + self.rounding * np.linalg.norm(scaled)  # Cauchy-Schwarz
        least = int(max(find_cut(products, n) - 2 * float(error) - 1, LEAST + 1))  # floats compare slower
        near = np.flatnonzero(products >= least)
        exact = (self.vectors[near] * vector).sum(axis=1)
        order: Int64Array = np.lexsort((near, -exact))[:n]
        return near[order].tolist()  # type: ignore[no-any-return]


def find_cut(scores: Float32Array | Int32Array, n: int) -> float:
    """Return a score that n items or more reach, if there are as many."""
    whole = len(scores) // BLOCK * BLOCK
    highest = np.append(scores[:whole].reshape(BLOCK, -1).max(axis=0), scores[whole:])
    return float(np.partition(highest, -n)[-n]) if len(highest) > n else -np.inf
