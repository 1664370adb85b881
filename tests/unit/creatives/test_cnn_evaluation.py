"""The reader's metrics by hand, and its evaluation on pictures of known truth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from tests.support.painted_pictures import as_table

from adloom.arrays import Float32Array
from adloom.config.params import Evaluate
from adloom.creatives import cnn_evaluation, pictures
from adloom.creatives.table import CreativeTable
from adloom.errors import DataError
from adloom.evaluation.metric import Figure, Table
from adloom.evaluation.sections import render_files

PARAMS = Evaluate(bootstraps=50, threads=1)
CATEGORIES = ["dark", "light"]
HISTORY = {"loss": [[1.0, 0.5], [2.0, 0.4]], "validation_loss": [[1.0, 0.6], [2.0, 0.5]]}
ONES = np.ones(4)


@dataclass(frozen=True)
class Reading:
    probabilities: Float32Array
    embedding: Float32Array


def read(picture: Float32Array) -> Reading:
    """Take a picture for light as far as it is."""
    light = ((picture.mean((1, 2, 3)) + 1) / 2)[:, None]
    return Reading(np.concatenate([1 - light, light], 1), np.concatenate([1 - light, light], 1))


def table(split: str = "test", number: int = 4) -> CreativeTable:
    """Two dark pictures that are read right, and two light ones, of which one is taken for dark with 60 %."""
    shades = np.array([0, 51, 255, 102], np.uint8)
    images = pictures.encode_pngs(np.broadcast_to(shades[:, None, None, None], (4, 1, 28, 28)))
    names = ["dark", "dark", "light", "light"]
    rows = {"category": names, "split": split, "image": images, "width": 28, "height": 28, "channels": 1}
    return as_table(pd.DataFrame(rows)[:number])


def test_macro_f1_by_hand() -> None:
    """Category 0: 2·2/(2+3) = 0.8, category 1: 2·1/(2+1) = 2/3."""
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    assert cnn_evaluation.macro_f1(truth, predicted, ONES) == pytest.approx((0.8 + 2 / 3) / 2)
    assert cnn_evaluation.macro_f1(truth, predicted, np.array([1, 1, 0, 1])) == 1


def test_calibration_error_by_hand() -> None:
    """
    One bin of 0.9, 0.9, 0.6, 0.6 with three right: |3 - 3| and nothing more; with one right, 2 too many.

    By chance sqrt(2 / pi * (2 * 0.09 + 2 * 0.24)) = 0.648 are expected, so (2 - 0.648) / 4 remain.
    """
    confidence = np.array([0.9, 0.9, 0.6, 0.6])
    assert cnn_evaluation.calibration_error(confidence, np.array([True, False, True, True]), ONES) == 0
    one = cnn_evaluation.calibration_error(confidence, np.array([True, False, False, False]), ONES)
    assert one == pytest.approx((2 - np.sqrt(2 / np.pi * 0.66)) / 4)
    assert cnn_evaluation.calibration_error(np.ones(4), np.ones(4), ONES) == 0
    assert cnn_evaluation.calibration_error(np.ones(4), np.zeros(4), ONES) == 1


@pytest.mark.parametrize("rows", [60, 106, 1000, 7000])
def test_a_calibrated_reader_meets_the_bar_however_few_the_pictures(rows: int) -> None:
    random = np.random.default_rng(rows)
    confidence = random.beta(6, 1.5, (400, rows))
    errors = [cnn_evaluation.calibration_error(each, random.random(rows) < each, np.ones(rows)) for each in confidence]
    assert np.mean(np.array(errors) > 0.05) <= 0.09
    assert np.mean(errors) < 0.02
    overconfident = [
        cnn_evaluation.calibration_error(each, random.random(rows) < each - 0.2, np.ones(rows)) for each in confidence
    ]
    assert np.mean(np.array(overconfident) > 0.05) >= 0.95


def test_bins_have_equal_numbers_of_rows() -> None:
    assert np.bincount(cnn_evaluation.bin_confidence(np.linspace(0, 1, 206)[::-1])).tolist() == [103, 103]
    assert np.bincount(cnn_evaluation.bin_confidence(np.zeros(7000))).tolist() == [467, 467, 466] * 5
    assert cnn_evaluation.bin_confidence(np.array([0.9, 0.1])).tolist() == [0, 0]


@pytest.mark.slow
def test_an_evaluation_names_every_metric_and_shows_the_mistake() -> None:
    evaluation = cnn_evaluation.evaluate(read, table(), CATEGORIES, PARAMS, HISTORY)
    values = {name: metric.value for name, metric in evaluation.metrics.items()}
    assert values == pytest.approx(
        {
            "accuracy": 0.75,
            "macro_f1": (0.8 + 2 / 3) / 2,
            "ece": 0,  # 3.4 of 4 were expected right, 3 are
            "accuracy.dark": 1,
            "accuracy.light": 0.5,
        },
        abs=1e-6,
    )
    assert set(evaluation.samples) == set(evaluation.metrics)
    titles = [section.title for section in evaluation.sections]
    assert titles == [
        "Confusion matrix", "Confusion counts", "Categories", "Reliability", "Learning curves", "Worst cases",
    ]  # fmt: skip
    counts, categories = (section for section in evaluation.sections if isinstance(section, Table))
    assert counts.rows == [["dark", 2, 0], ["light", 1, 1]]
    assert categories.rows[0][:3] == ["light", 2, 0.5]
    assert categories.rows[0][-1] == "dark (1)"
    assert all(section.png.startswith(b"\x89PNG") for section in evaluation.sections if isinstance(section, Figure))


@pytest.mark.slow
def test_figures_have_equal_bytes_each_time() -> None:
    first, second = (cnn_evaluation.evaluate(read, table(), CATEGORIES, PARAMS, HISTORY) for _ in range(2))
    assert render_files(first) == render_files(second)


@pytest.mark.slow
def test_a_reader_without_mistakes_has_no_worst_cases() -> None:
    evaluation = cnn_evaluation.evaluate(read, table(number=3), CATEGORIES, PARAMS, HISTORY)
    assert "Worst cases" not in [section.title for section in evaluation.sections]
    assert evaluation.metrics["accuracy"].value == 1
    assert evaluation.metrics["accuracy"].low < 1


def test_without_test_pictures_nothing_is_measured() -> None:
    with pytest.raises(DataError, match="0 pictures in split test, expected at least 1"):
        cnn_evaluation.evaluate(read, table("train"), CATEGORIES, PARAMS, HISTORY)
