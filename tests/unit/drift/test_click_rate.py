"""Click rates without clicks."""

import numpy as np
import pandas as pd
import pytest
from tests.support.drift_samples import make_impressions, make_sample

from adloom.drift.click_rate import ClickRates, fit_calibration, measure_click_rates, predict_clicks
from adloom.drift.features import FeatureSample


def test_the_calibration_is_the_click_rate_of_each_prediction() -> None:
    predicted, clicks = np.array([0.1, 0.1, 0.2, 0.2, 0.3]), [0.0, 1.0, 0.0, 0.0, 1.0]
    calibrate = fit_calibration(predicted, make_sample(clicks))
    assert calibrate(np.array([0.1, 0.2, 0.3, 0.9])).tolist() == [0.25, 0.25, 1.0, 1.0]  # falling rates are pooled


def compare(reference: pd.DataFrame, current: pd.DataFrame) -> ClickRates:
    def clicks(frame: pd.DataFrame) -> FeatureSample:
        return make_sample(frame["clicked"].to_numpy(float), pd.factorize(frame["user_id"])[0])

    old, new = clicks(reference), clicks(current)
    contexts = reference[["placement"]], current[["placement"]]
    shown = reference["creative_id"].to_numpy(object), current["creative_id"].to_numpy(object)
    return measure_click_rates(predict_clicks(contexts, shown, old), old, new, np.ones(len(current), bool))


def test_another_mix_of_creatives_is_foreseen_without_clicks() -> None:
    """Creative b has a rate of 4/3 of 20 %; only b runs in the second period."""
    rows = make_impressions(8000, 2)
    rates = compare(make_impressions(8000, 1), rows[rows["creative_id"] == "b"])
    assert rates.low <= 0.2667 <= rates.high
    assert rates.high - rates.low < 0.06
    assert rates.p_value > 0.01
    assert rates.observed == pytest.approx(rates.expected, abs=0.02)


def test_clicks_that_the_model_does_not_expect_are_told() -> None:
    rates = compare(make_impressions(4000, 1), make_impressions(4000, 2, rate=0.1))
    assert rates.estimated == pytest.approx(0.2, abs=0.02)
    assert rates.observed == pytest.approx(0.1, abs=0.02)
    assert rates.p_value < 1e-6


def test_a_creative_without_history_is_expected_to_have_the_average_rate() -> None:
    rates = compare(make_impressions(4000, 1), make_impressions(400, 2).assign(creative_id="new"))
    assert rates.estimated == pytest.approx(rates.reference, abs=0.03)
