"""Evaluate the click model: whether it ranks the best line of a group above the worst, and whether ridge does."""

import numpy as np
import pandas as pd

from adloom.arrays import Float64Array
from adloom.copywriting.click_model import ClickModel
from adloom.copywriting.fit import fit_click_rates
from adloom.evaluation import statistics
from adloom.evaluation.metric import Sample


def measure(model: ClickModel, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Sample]:
    """Return the samples of both models, a row per test group; nothing without a group that has a best line."""
    best, worst = find_extremes(test)
    if best.empty:
        return {}
    ours = model.score(best["text"].tolist()) - model.score(worst["text"].tolist())
    theirs = _predict_rates(train, best["text"]) - _predict_rates(train, worst["text"])
    return {
        name: Sample(((np.sign(gap) + 1) / 2,), statistics.mean, "share")
        for name, gap in (("best_over_worst", ours), ("ridge_best_over_worst", theirs))
    }


def find_extremes(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the line with the most clicks per impression of each group, and the one with the fewest."""
    shown = rows[rows["group"].notna() & (rows["impressions"] > 0) & rows["clicks"].notna()]
    rated = shown.assign(rate=shown["clicks"].astype(float) / shown["impressions"].astype(float))
    rated = rated.sort_values(["group", "rate"], kind="stable")
    best, worst = (getattr(rated.groupby("group"), end)() for end in ("last", "first"))
    differ = best["rate"] > worst["rate"]
    return best[differ], worst[differ]


def _predict_rates(train: pd.DataFrame, lines: pd.Series) -> Float64Array:
    """Return the clicks per impression that ridge regression predicts."""
    shown = train[(train["impressions"] > 0) & train["clicks"].notna()]
    rates = shown["clicks"].to_numpy(np.float64) / shown["impressions"].to_numpy(np.float64)
    predicted: Float64Array = fit_click_rates(shown["text"].tolist(), rates).predict(lines)
    return predicted
