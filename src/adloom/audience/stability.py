"""Stability of a segmentation: its agreement with refits on resampled users (Hennig 2007)."""

from collections.abc import Callable, Sequence

import numpy as np

from adloom.arrays import Float64Array
from adloom.audience import fit
from adloom.audience.segmenter import Segmenter
from adloom.config.audience import Segment


def measure_refits(
    features: Float64Array,
    segmenters: Sequence[Segmenter],
    algorithm: str,
    settings: Sequence[float],
    params: Segment,
    seed: int,
    tick: Callable[[], object] = lambda: None,
) -> Float64Array:
    """
    Return the adjusted Rand index of each segmenter with each of its refits (params.bootstraps, segmenters).

    A refit uses users drawn with replacement; both then assign one sample. `tick` is called after each round.
    """
    sample = features[fit.draw_sample(len(features), params.sample, seed)]
    first = [segmenter.index(sample) for segmenter in segmenters]
    agreements = np.empty((params.bootstraps, len(segmenters)))
    for draw in range(params.bootstraps):
        resample = fit.draw_resample(features, algorithm, params, (seed, draw))
        shrunk = fit.shrink_minimum(params, len(resample) / len(features))
        refits = fit.fit_segmenters(resample, algorithm, settings, shrunk, seed + 1 + draw)
        agreements[draw] = [fit.adjusted_rand_index(a, b.index(sample)) for a, b in zip(first, refits, strict=True)]
        tick()
    return agreements
