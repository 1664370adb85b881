"""Scores for creatives without history, from similar pictures."""

from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from adloom.arrays import AnyArray, Float64Array, Int64Array
from adloom.policy.scorer import Policy

MAX_NEIGHBOURS = 10  # pictures with history per new picture
BATCH_SIZE = 1000  # new pictures per batch
PRIOR_WEIGHT = 1.0  # of the category, in identical neighbours


@dataclass(frozen=True)
class Pictures:
    """Creatives with their categories and unit-length embeddings (pictures, n)."""

    creatives: AnyArray
    category: AnyArray
    embedding: Float64Array

    def __len__(self) -> int:
        return len(self.creatives)


def add_cold_start(policy: Policy, pictures: Pictures) -> Policy:
    """Return the policy extended by creatives that have a picture but no history."""
    number = {creative: i for i, creative in enumerate(policy.creatives)}
    history = np.array([number.get(creative, -1) for creative in pictures.creatives.tolist()], np.int64)
    seen, new = np.flatnonzero(history >= 0), np.flatnonzero(history < 0)
    if not len(seen) or not len(new):
        return policy
    known = {name: i for i, name in enumerate(policy.categories)}
    category = np.array([known.get(name, len(known)) for name in pictures.category.tolist()], np.int64)
    excess = (policy.bias[history[seen]] - policy.prior[category[seen]]).astype(np.float64)  # over the category's score
    with threadpool_limits(limits=1):  # fixes the order of sums
        score = policy.prior[category[new]] + _mean_of_neighbours(
            pictures.embedding[new], pictures.embedding[seen], excess
        )
    order = np.argsort(pictures.creatives[new], kind="stable")
    return _append_creatives(policy, pictures.creatives[new][order].tolist(), category[new][order], score[order])


def _mean_of_neighbours(new: Float64Array, seen: Float64Array, excess: Float64Array) -> Float64Array:
    """Return the mean of `excess` over the nearest pictures, shrunk to 0 (new,)."""
    batches = []
    for start in range(0, len(new), BATCH_SIZE):
        similarity = np.clip(new[start : start + BATCH_SIZE] @ seen.T, 0, None)  # (new, seen), cosine similarity
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :MAX_NEIGHBOURS]
        weight = np.take_along_axis(similarity, nearest, axis=1)
        batches.append((weight * excess[nearest]).sum(1) / (weight.sum(1) + PRIOR_WEIGHT))
    return np.concatenate(batches)


def _append_creatives(policy: Policy, creatives: list[str], category: Int64Array, score: Float64Array) -> Policy:
    extended = [
        np.concatenate([weights, np.zeros((len(weights), len(creatives)))], axis=1) for weights in policy.weights
    ]
    return replace(
        policy,
        creatives=(*policy.creatives, *creatives),
        category=np.concatenate([policy.category, category]),
        bias=np.concatenate([policy.bias, score]).astype(np.float32),
        weights=tuple(weights.astype(np.float32) for weights in extended),
    )
