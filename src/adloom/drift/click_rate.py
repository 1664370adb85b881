"""
The click rate of a period, estimated without its clicks, and the difference to the clicks that have arrived.

A model of click rates by context and creative learns from the reference. It is cross-fitted by user and calibrated by
isotonic regression.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression
from scipy.stats import norm

from adloom.arrays import AnyArray, BoolArray, Float64Array
from adloom.drift.difference import measure_error
from adloom.drift.features import FeatureSample
from adloom.policy.ope.reward_model import Rates, cell_indices

FOLDS = 5


@dataclass(frozen=True)
class ClickRates:
    """Click rates of two periods."""

    reference: float  # observed
    estimated: float  # of the current period, without its clicks
    low: float  # 95 % interval of `estimated`
    high: float
    observed: float | None  # of the current impressions old enough for their clicks; None without any
    expected: float | None  # of the same impressions, by the model
    p_value: float  # of no difference between the clicks and the model; 1 without clicks


@dataclass(frozen=True)
class Predictions:
    """Predicted click probabilities."""

    held_out: Float64Array  # (reference rows,) by models that did not see the user
    reference: Float64Array  # (reference rows,) by one model
    current: Float64Array  # (current rows,) by the same model


def predict_clicks(
    contexts: tuple[pd.DataFrame, pd.DataFrame], shown: tuple[AnyArray, AnyArray], reference: FeatureSample
) -> Predictions:
    """Return predictions for both periods by a model of the reference; its values are clicks."""
    cell = cell_indices(pd.concat(contexts, ignore_index=True))
    action, names = pd.factorize(np.concatenate(shown))
    rows = len(reference.values)
    clicked, weight = np.zeros(len(cell)), np.zeros(len(cell))
    clicked[:rows], weight[:rows] = reference.values, reference.weight
    rates = Rates(cell, action, clicked, len(names))
    fold = np.append(_draw_folds(reference.cluster), np.full(len(cell) - rows, -1))
    held_out = np.empty(rows)
    for number in range(FOLDS):
        inside = fold == number
        held_out[inside[:rows]] = rates.fit(np.where(inside, 0.0, weight))[cell[inside], action[inside]]
    calibrate = fit_calibration(held_out, reference)
    predicted = calibrate(rates.fit(weight)[cell, action])
    return Predictions(calibrate(held_out), predicted[:rows], predicted[rows:])


def fit_calibration(predicted: Float64Array, reference: FeatureSample) -> Callable[[Float64Array], Float64Array]:
    """Return the increasing map of predictions that agrees best with the clicks of the reference."""
    knots, index = np.unique(predicted, return_inverse=True)
    weight = np.bincount(index, reference.weight)
    clicks = np.bincount(index, reference.weight * reference.values)
    fitted = isotonic_regression(clicks / weight, weights=weight).x
    return lambda values: np.interp(values, knots, fitted)


def measure_click_rates(
    predictions: Predictions, reference: FeatureSample, current: FeatureSample, is_mature: BoolArray
) -> ClickRates:
    """Return the click rates of both periods; the values of samples are clicks, known where `is_mature`."""
    residual = reference.with_values(reference.values - predictions.held_out)
    old, new = reference.with_values(predictions.reference), current.with_values(predictions.current)
    estimated = reference.mean() + new.mean() - old.mean()
    half = float(norm.ppf(0.975)) * float(np.hypot(measure_error(new, old), measure_error(residual)))
    observed, expected, p_value = None, None, 1.0
    if is_mature.any():
        mature, model = current.select(is_mature), new.select(is_mature)
        observed, expected = mature.mean(), model.mean() + reference.mean() - old.mean()
        error = measure_error(mature.with_values(mature.values - model.values), residual)
        p_value = float(2 * norm.sf(abs(observed - expected) / error)) if error else float(observed == expected)
    return ClickRates(reference.mean(), estimated, estimated - half, estimated + half, observed, expected, p_value)


def _draw_folds(cluster: AnyArray) -> AnyArray:
    """Return the fold of each row; a user is in one."""
    users, index = np.unique(cluster, return_inverse=True)
    fold: AnyArray = np.random.default_rng(0).permutation(len(users))[index] % FOLDS
    return fold
