"""Scores for creatives without history, from their category, picture and text."""

from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from adloom.arrays import Int64Array
from adloom.policy.content_model import Contents
from adloom.policy.fit import fit_content
from adloom.policy.scorer import Policy


def add_cold_start(policy: Policy, contents: Contents) -> Policy:
    """
    Return the policy with a model of content, extended by the creatives that have content but no history.

    The policy stays as it is when none of its creatives has content.
    """
    number = {creative: i for i, creative in enumerate(policy.creatives)}
    history = np.array([number.get(creative, -1) for creative in contents.creatives.tolist()], np.int64)
    seen = np.flatnonzero(history >= 0)
    if not len(seen):
        return policy
    category = _category_indices(policy, contents)[seen]
    excess = (policy.bias[history[seen]] - policy.prior[category]).astype(np.float64)
    with threadpool_limits(limits=1):  # fixes the order of sums
        model = fit_content(category, contents.features[seen], excess, len(policy.categories))
    return extend(replace(policy, content=model), contents)


def extend(policy: Policy, contents: Contents) -> Policy:
    """Return the policy extended by creatives that it does not know. Without a model of content, it stays as it is."""
    known = set(policy.creatives)
    new = np.array([i for i, creative in enumerate(contents.creatives.tolist()) if creative not in known], np.int64)
    if policy.content is None or not len(new):
        return policy
    new = new[np.argsort(contents.creatives[new], kind="stable")]
    category = _category_indices(policy, contents)[new]
    with threadpool_limits(limits=1):
        score = policy.prior[category] + policy.content.score(category, contents.features[new])
    parts = np.split(policy.category_weights[category].T, np.cumsum([len(weights) for weights in policy.weights])[:-1])
    weights = [np.concatenate(pair, axis=1) for pair in zip(policy.weights, parts, strict=False)]
    return replace(
        policy,
        creatives=(*policy.creatives, *contents.creatives[new].tolist()),
        category=np.concatenate([policy.category, category]),
        bias=np.concatenate([policy.bias, score]).astype(np.float32),
        weights=tuple(weights),
        variances=policy.variances.append(category) if policy.variances else None,
        new=policy.new + len(new),
    )


def _category_indices(policy: Policy, contents: Contents) -> Int64Array:
    known = {name: i for i, name in enumerate(policy.categories)}
    return np.array([known.get(name, len(known)) for name in contents.category.tolist()], np.int64)
