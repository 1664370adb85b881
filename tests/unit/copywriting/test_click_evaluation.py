"""The extremes of test groups, and a share of them by hand."""

import numpy as np
import pandas as pd

from adloom.copywriting import click_evaluation, click_model
from adloom.copywriting.click_model import ClickModel

ROWS = pd.DataFrame(
    {
        "group": ["a", "a", "a", "b", "c", "c", None, "d", "d", "d"],
        "text": ["one", "two", "three", "four", "one", "two", "five", "six", "one", "two"],
        "impressions": [10, 10, 10, 10, 10, 10, 10, 0, 5, 5],
        "clicks": [1, 3, 2, 5, 2, 2, 9, 0, 0, 1],
    }
)


def test_extremes_are_of_groups_with_two_rates() -> None:
    best, worst = click_evaluation.find_extremes(ROWS)
    assert best["text"].to_dict() == {"a": "two", "d": "two"}
    assert worst["text"].to_dict() == {"a": "one", "d": "one"}


def test_a_tie_is_half_right() -> None:
    weights = np.zeros(click_model.BUCKETS)
    samples = click_evaluation.measure(ClickModel(weights), ROWS, ROWS)
    assert samples["best_over_worst"].columns[0].tolist() == [0.5, 0.5]
    assert samples["ridge_best_over_worst"].columns[0].tolist() == [1, 1]  # it was trained on these lines
    buckets, values = click_model.extract_features("two")
    weights[buckets] = values
    assert click_evaluation.measure(ClickModel(weights), ROWS, ROWS)["best_over_worst"].columns[0].tolist() == [1, 1]
    assert click_evaluation.measure(ClickModel(weights), ROWS, ROWS[3:7]) == {}
