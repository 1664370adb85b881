"""The evaluation: variety and copying by hand, then all of it on a known writer."""

import numpy as np
import pandas as pd
import pytest
from tests.support.toy_lines import LINES, Bigram, words

from adloom.config.params import Evaluate
from adloom.copywriting.evaluation import copied_sample, distinct_2_sample, evaluate
from adloom.errors import DataError
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Figure, Lines, Sample, Table

PARAMS = Evaluate(bootstraps=20, lstm_samples=100)
WORDS = words()
NAMES = {
    "bits_per_character",
    "kneser_ney_bits_per_character",
    "bits_ratio",
    "distinct_2",
    "copied",
    "kneser_ney_copied",
}
HISTORY = {"loss": [[10, 3.0], [20, 2.0]], "validation_loss": [[10, 3.1], [20, 2.2]]}


def table(category: str | None) -> pd.DataFrame:
    rows = pd.DataFrame({"text": LINES * 3, "category": category, "split": ["train"] * 12 + ["test"] * 6})
    return rows.assign(category=rows["category"].astype("str") if category else None)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(Bigram(WORDS, smoothing=1e-6), WORDS, table("Coats"), ["Coats", "Dresses"], PARAMS, HISTORY)


def value(sample: Sample) -> float:
    return sample.statistic(*sample.columns, np.ones(len(sample.columns[0])))


def test_distinct_2_counts_each_bigram_once() -> None:
    assert (
        value(distinct_2_sample(["so soft coat", "So soft", "warm", "so warm coat"])) == 4 / 5
    )  # "so soft" came again


def test_copied_is_the_share_of_training_lines() -> None:
    assert value(copied_sample(["Lovely dress", "lovely  Dress", "Lovely", "coat"], LINES)) == 0.5


def test_metrics_have_the_fixed_names_and_each_a_sample(evaluation: Evaluation) -> None:
    assert set(evaluation.metrics) == set(evaluation.samples) == NAMES
    for name, metric in evaluation.metrics.items():
        assert metric == bootstrap(evaluation.samples[name], PARAMS.bootstraps, PARAMS.seed)
        assert metric.low <= metric.value <= metric.high


def test_a_writer_that_knows_the_lines_needs_fewer_bits(evaluation: Evaluation) -> None:
    metrics = evaluation.metrics
    assert metrics["bits_ratio"].value < 1
    assert metrics["bits_ratio"].value == pytest.approx(
        metrics["bits_per_character"].value / metrics["kneser_ney_bits_per_character"].value
    )
    assert metrics["bits_per_character"].n == 6
    assert metrics["copied"].value > 0.5


def test_sections_show_the_comparison_curves_lines_and_worst_cases(evaluation: Evaluation) -> None:
    comparison, curves, *sampled, worst = evaluation.sections
    assert isinstance(comparison, Table)
    assert [row[0] for row in comparison.rows] == [
        "copywriter", "copywriter, not told the category", "Kneser-Ney, 5 characters",
    ]  # fmt: skip
    assert isinstance(curves, Figure)
    assert [s.title for s in sampled] == ["Sample lines: Coats", "Sample lines: Dresses", "Sample lines: any"]
    assert all(isinstance(s, Lines) and s.lines for s in sampled)
    assert isinstance(worst, Table)
    bits = [float(row[2]) for row in worst.rows]
    assert bits == sorted(bits, reverse=True)


@pytest.mark.slow
def test_rows_without_categories_are_measured_too() -> None:
    evaluation = evaluate(Bigram(WORDS), WORDS, table(None), [], PARAMS, HISTORY)
    assert set(evaluation.metrics) == NAMES
    assert evaluation.sections[-1].rows[0][1] == ""  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_writer_of_nothing_readable_is_still_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adloom.copywriting.evaluation.MAX_LENGTH", 20)  # every line is given up at that length
    write = Bigram(WORDS, smoothing=1e-6)
    write.table[:, WORDS.end] = -1000
    evaluation = evaluate(write, WORDS, table(None), [], PARAMS, HISTORY)
    assert set(evaluation.metrics) == NAMES - {"distinct_2", "copied"}


def test_without_test_lines_there_is_nothing_to_measure() -> None:
    with pytest.raises(DataError, match="copy: 0 lines in split test, expected at least 1"):
        evaluate(Bigram(WORDS), WORDS, table(None).head(12), [], PARAMS, HISTORY)
