"""Creatives without history: scored by what their neighbours in the reader's embedding did, else by their category."""

from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from adloom.arrays import AnyArray, Float64Array, Int64Array
from adloom.policy.scorer import Policy

MAX_NEIGHBOURS = 10  # pictures with history that a new one is compared with
BATCH_SIZE = 1000  # new pictures that are compared at a time
PRIOR_WEIGHT = 1.0  # weight of the category's prior, in neighbours of the same picture


@dataclass(frozen=True)
class Pictures:
    """Creatives that have a picture: ids (pictures,), categories (pictures,), unit-length embeddings (pictures, n)."""

    creatives: AnyArray
    category: AnyArray
    embedding: Float64Array

    def __len__(self) -> int:
        return len(self.creatives)


def add_cold_start(policy: Policy, pictures: Pictures) -> Policy:
    """
    Return the policy with those creatives added that have a picture, but no history.

    Without a creative that has both there is nothing to learn from pictures, and the policy is returned as it is.
    """
    number = {creative: i for i, creative in enumerate(policy.creatives)}
    history = np.array([number.get(creative, -1) for creative in pictures.creatives.tolist()], np.int64)
    seen, new = np.flatnonzero(history >= 0), np.flatnonzero(history < 0)
    if not len(seen) or not len(new):
        return policy
    category = _category_indices(policy, pictures)
    beyond = (policy.bias[history[seen]] - policy.prior[category[seen]]).astype(np.float64)  # than the category's
    with threadpool_limits(limits=1):  # sums add up in one order
        score = policy.prior[category[new]] + _mean_of_neighbours(
            pictures.embedding[new], pictures.embedding[seen], beyond
        )
    order = np.argsort(pictures.creatives[new], kind="stable")
    return _append_creatives(policy, pictures.creatives[new][order].tolist(), category[new][order], score[order])


def _category_indices(policy: Policy, pictures: Pictures) -> Int64Array:
    number = {name: i for i, name in enumerate(policy.categories)}
    return np.array([number.get(name, len(number)) for name in pictures.category.tolist()], np.int64)


def _mean_of_neighbours(new: Float64Array, seen: Float64Array, beyond: Float64Array) -> Float64Array:
    """Return the mean of `beyond` (seen,) over the nearest pictures of each new one, shrunk to 0 (new,)."""
    found = []
    for start in range(0, len(new), BATCH_SIZE):
        likeness = np.clip(new[start : start + BATCH_SIZE] @ seen.T, 0, None)  # (new, seen), cosine of the angle
        nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :MAX_NEIGHBOURS]
        weight = np.take_along_axis(likeness, nearest, axis=1)
        found.append((weight * beyond[nearest]).sum(1) / (weight.sum(1) + PRIOR_WEIGHT))
    return np.concatenate(found)


def _append_creatives(policy: Policy, creatives: list[str], category: Int64Array, score: Float64Array) -> Policy:
    """Return the policy with creatives (new,) of a score each, the same in every context."""
    wide = [np.concatenate([weights, np.zeros((len(weights), len(creatives)))], axis=1) for weights in policy.weights]
    return replace(
        policy,
        creatives=(*policy.creatives, *creatives),
        category=np.concatenate([policy.category, category]),
        bias=np.concatenate([policy.bias, score]).astype(np.float32),
        weights=tuple(weights.astype(np.float32) for weights in wide),
    )
