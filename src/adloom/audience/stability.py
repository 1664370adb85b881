"""Stability: how much of a segmentation is found again when it is refitted on users drawn anew (Hennig 2007)."""

from collections.abc import Callable, Sequence

import numpy as np

from adloom.arrays import Float64Array
from adloom.audience import fit
from adloom.audience.segmenter import Segmenter
from adloom.config.params import Segment


def measure_refits(
    features: Float64Array,
    found: Sequence[Segmenter],
    algorithm: str,
    tried: Sequence[float],
    params: Segment,
    seed: int,
    tick: Callable[[], object] = lambda: None,
) -> Float64Array:
    """
    Return the adjusted Rand index of each segmenter with each of its refits (params.bootstraps, segmenters).

    `found` are the segmenters of `algorithm` with the settings `tried`. A refit sees as many users as there are, drawn
    with replacement from features (users, 5); both then assign one sample of at most params.sample of the users.
    `tick` is called after each round of refits.
    """
    judged = features[fit.draw_sample(len(features), params.sample, seed)]
    first = [segmenter.index(judged) for segmenter in found]
    agreements = np.empty((params.bootstraps, len(found)))
    for draw in range(params.bootstraps):
        rows = np.random.default_rng([seed, draw]).integers(len(features), size=len(features))
        refits = fit.fit_segmenters(features[rows], algorithm, tried, params, seed + 1 + draw)
        agreements[draw] = [fit.adjusted_rand_index(a, b.index(judged)) for a, b in zip(first, refits, strict=True)]
        tick()
    return agreements
