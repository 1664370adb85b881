"""Numbers behind the pictures of the algorithms, on a toy shop of three groups."""

from typing import Any

import numpy as np
import pytest
from tests.support.toy_shops import features, shop

from adloom.audience import fit
from adloom.audience.diagnostics import measure_diagnostics
from adloom.audience.model_selection import Candidate
from adloom.audience.segmenter import FeatureScale
from adloom.config.audience import Segment

USERS = features(shop(120))
PARAMS = Segment(segments_min=2, segments_max=5, min_segment_size=1, sample=120)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Return the diagnostics of all algorithms."""
    fitted = []
    for algorithm in ("kmeans", "gaussian_mixture", "agglomerative", "dbscan"):
        settings = fit.list_settings(algorithm, PARAMS)
        segmenters = fit.fit_segmenters(USERS, algorithm, settings, PARAMS, seed=1)
        fitted += [
            (Candidate(algorithm, setting, len(s.names), None, 1, 0.5, 1.0, None, None), s)
            for setting, s in zip(settings, segmenters, strict=True)
        ]
    return measure_diagnostics(USERS, fitted, neighbours=5)


def test_the_elbow_is_at_the_true_number_of_groups(found: dict[str, Any]) -> None:
    curve = found["kmeans"]
    assert [point["clusters"] for point in curve] == [2, 3, 4, 5]
    drops = -np.diff([point["value"] for point in curve])
    assert (drops > 0).all()
    assert drops[0] > 2 * drops[1]


def test_the_criterion_of_mixtures_is_that_of_scikit_learn(found: dict[str, Any]) -> None:
    from sklearn.mixture import GaussianMixture

    scaled = FeatureScale.fit(USERS)(USERS)
    model = GaussianMixture(3, covariance_type="diag", reg_covar=fit.MIN_VARIANCE, max_iter=500, random_state=1)
    expected = model.fit(scaled).bic(scaled) / len(scaled)
    assert found["gaussian_mixture"][1]["value"] == pytest.approx(expected, rel=1e-4)


def test_the_dendrogram_joins_three_groups_at_its_top(found: dict[str, Any]) -> None:
    heights = sorted((max(height) for height in found["agglomerative"]["height"]), reverse=True)
    assert len(heights) == 29
    assert heights[1] > 1.5 * heights[2]


def test_the_reachability_has_two_hills_between_three_valleys(found: dict[str, Any]) -> None:
    values = np.sort(found["density"])[::-1]
    assert len(values) == 119
    assert values[1] > 3 * values[2]


def test_algorithms_that_do_not_compete_have_no_picture() -> None:
    assert measure_diagnostics(USERS, [], neighbours=5) == {}
