"""The stylizer's metrics by hand."""

import numpy as np

from adloom.creatives.style_evaluation import build_samples


def test_the_style_ratio_is_a_ratio_of_sums_and_the_change_a_mean() -> None:
    samples = build_samples(np.array([0.2, 0.6]), np.array([0.1, 0.5]), np.array([0.8, 1.2]))
    ratio, change = samples["style_ratio"], samples["content_change"]
    assert ratio.statistic(*ratio.columns, np.ones(2)) == 0.4
    assert ratio.statistic(*ratio.columns, np.array([2, 0])) == 0.25
    assert change.statistic(*change.columns, np.ones(2)) == 0.3
