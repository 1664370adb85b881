"""Metrics and samples: rounding, files, and samples without a metric."""

import numpy as np
import pytest

from adloom.evaluation.metric import Figure, Metric, Sample, metrics_to_json, parse_metrics
from adloom.evaluation.statistics import auc, mean


def test_numbers_keep_ten_digits() -> None:
    assert Metric(1 / 3, 0.1 + 0.2, 2 / 3, 9, "share") == Metric(0.3333333333, 0.3, 0.6666666667, 9, "share")


def test_metrics_survive_as_json() -> None:
    metrics = {"b": Metric(0.5, 0.25, 0.75, 4, "share"), "a": Metric(3.0, 3.0, 3.0, 3, "count")}
    text = metrics_to_json(metrics)
    assert parse_metrics(text) == metrics
    assert text.index('"a"') < text.index('"b"')


def test_a_metric_of_one_class_or_of_no_rows_is_not_defined() -> None:
    scores = np.array([0.1, 0.9])
    assert Sample((np.array([0, 1]), scores), auc, "auc").defined
    assert not Sample((np.array([1, 1]), scores), auc, "auc").defined
    assert not Sample((np.zeros(0),), mean, "share").defined


def test_columns_have_one_length() -> None:
    assert Sample((np.zeros(2), np.ones(2)), auc, "auc").rows == 2
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        _ = Sample((np.zeros(2), np.ones(3)), auc, "auc").rows


def test_a_figure_is_drawn_once_when_it_is_first_shown() -> None:
    drawn: list[str] = []

    def draw() -> bytes:
        drawn.append("once")
        return b"png"

    figure = Figure("title", "caption", draw)
    assert drawn == []
    assert (figure.png, figure.png, Figure("title", "caption", b"png").png) == (b"png",) * 3
    assert drawn == ["once"]
