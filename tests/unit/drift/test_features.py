"""Features as bins."""

import numpy as np
from tests.support.drift_samples import make_feature, make_sample

from adloom.drift.features import BINS, PROJECTIONS, FeatureSample, bin_feature


def test_rare_names_share_a_bin_and_missing_ones_have_their_own() -> None:
    names = ["a"] * 500 + [""] * 499 + ["b"]
    (column,) = bin_feature(make_feature(make_sample(names), make_sample(names)))
    assert column.names == ("(rare)", "", "a")
    assert np.bincount(column.reference).tolist() == [1, 499, 500]


def test_numbers_fall_into_quantiles_of_both_periods_and_missing_ones_into_the_first_bin() -> None:
    old, new = np.arange(1000.0), np.append(np.arange(1000.0, 1999.0), np.nan)
    (column,) = bin_feature(make_feature(make_sample(old), make_sample(new)))
    assert column.bins == BINS + 1
    assert column.current[-1] == 0
    assert np.ptp(np.bincount(np.append(column.reference, column.current))[1:]) <= 1


def test_equal_numbers_share_a_bin() -> None:
    (column,) = bin_feature(make_feature(make_sample([0.0] * 90 + [5.0] * 10), make_sample([0.0] * 100)))
    assert len(set(column.reference[:90])) == 1
    assert column.reference[95] > column.reference[0]


def test_an_embedding_is_projected() -> None:
    embedding = np.random.default_rng(0).normal(size=(50, 8))
    sample = FeatureSample(embedding, np.arange(50), np.ones(50))
    assert len(bin_feature(make_feature(sample, sample))) == PROJECTIONS


def test_a_sample_is_weighted() -> None:
    sample = FeatureSample(np.array([1.0, 4.0]), np.arange(2), np.array([2.0, 1.0]))
    assert sample.mean() == 2
    assert sample.select(np.array([False, True])).mean() == 4
