"""Stability: agreement with refits on resampled users."""

import pytest
from tests.support.toy_shops import features, shop

from adloom.audience import fit
from adloom.audience.stability import measure_refits
from adloom.config.audience import Segment

PARAMS = Segment(segments_min=3, segments_max=6, min_segment_size=5, bootstraps=4, sample=200)


@pytest.mark.slow
def test_true_segments_are_refitted_and_too_many_are_not() -> None:
    users, ticks = features(shop(240)), []
    segmenters = fit.fit_segmenters(users, "kmeans", [3, 6], PARAMS, seed=1)
    agreements = measure_refits(users, segmenters, "kmeans", [3, 6], PARAMS, 1, lambda: ticks.append(1))
    assert agreements.shape == (4, 2)
    assert len(ticks) == 4
    assert agreements[:, 0] == pytest.approx(1)
    assert agreements[:, 1].mean() < 0.95
    again = measure_refits(users, segmenters, "kmeans", [3, 6], PARAMS, 1)
    assert (agreements == again).all()
