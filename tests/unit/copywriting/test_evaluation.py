"""The evaluation: variety and copying by hand, then all of it on a known writer."""

import pandas as pd
import pytest
from tests.support.toy_lines import LINES, Bigram, words

from adloom.config.params import Evaluate
from adloom.copywriting.evaluation import evaluate
from adloom.errors import DataError
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Figure, Lines, Table

PARAMS = Evaluate(bootstraps=20, lstm_samples=100)
WORDS = words()
NAMES = {
    "bits_per_character",
    "kneser_ney_bits_per_character",
    "bits_ratio",
    "distinct_2",
    "copied",
    "kneser_ney_copied",
    "copied_gap",
    "near_copies",
    "known_words",
}
HELD = ["Warm coat", "Soft warm dress", "Soft coat", "Lovely coat", "Lovely coat", "Warm warm dress"]  # made of LINES
SPLITS = ["validation", "validation", "test", "test", "test", "test"]
HISTORY = {"loss": [[10, 3.0], [20, 2.0]], "validation_loss": [[10, 3.1], [20, 2.2]]}


def table(category: str | None) -> pd.DataFrame:
    rows = pd.DataFrame({"text": LINES * 3 + HELD, "category": category, "split": ["train"] * 18 + SPLITS})
    return rows.assign(category=rows["category"].astype("str") if category else None)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    knowing = Bigram(WORDS, [*LINES, *HELD], smoothing=1e-6)
    return evaluate(knowing, WORDS, table("Coats"), ["Coats", "Dresses"], PARAMS, HISTORY)


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
    assert metrics["bits_per_character"].n == 3  # one line is there twice
    assert metrics["copied"].value > 0.3
    assert metrics["near_copies"].value < 1
    assert metrics["known_words"].value == 1


def test_sections_show_the_comparison_curves_lines_and_worst_cases(evaluation: Evaluation) -> None:
    comparison, orders, curves, *sampled, worst = evaluation.sections
    assert isinstance(comparison, Table)
    assert isinstance(orders, Table)
    (baseline,) = (row for row in orders.rows if "(the baseline)" in str(row[0]))
    assert min(row[2] for row in orders.rows) == baseline[2]
    assert {row[1] for row in orders.rows} == {"distinct lines", "all lines"}
    assert [row[0] for row in comparison.rows] == [
        "copywriter", "copywriter, not told the category", f"Kneser-Ney, {str(baseline[0]).split()[0]} characters",
    ]  # fmt: skip
    assert "of the 3 distinct test lines" in comparison.caption
    assert "1 of these lines nearly repeat one" in comparison.caption  # Warm warm dress
    assert isinstance(curves, Figure)
    assert [s.title for s in sampled] == ["Sample lines: Coats", "Sample lines: Dresses", "Sample lines: any"]
    assert all(isinstance(s, Lines) and s.lines and not {*s.lines} & {*LINES} for s in sampled)
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
    monkeypatch.setattr("adloom.copywriting.written_lines.MAX_LENGTH", 20)  # every line is given up at that length
    write = Bigram(WORDS, smoothing=1e-6)
    write.table[:, WORDS.end] = -1000
    evaluation = evaluate(write, WORDS, table(None), [], PARAMS, HISTORY)
    assert set(evaluation.metrics) == NAMES - {"distinct_2", "copied", "copied_gap", "near_copies", "known_words"}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_split_needs_a_line(split: str) -> None:
    rows = table(None)
    with pytest.raises(DataError, match=f"copy: 0 lines in split {split}, expected at least 1"):
        evaluate(Bigram(WORDS), WORDS, rows[rows["split"] != split], [], PARAMS, HISTORY)


def test_test_lines_that_are_training_lines_do_not_count() -> None:
    rows = table(None)
    copied = rows[rows["split"] == "train"].assign(split="test")
    known = pd.concat([rows[rows["split"] != "test"], copied], ignore_index=True)
    with pytest.raises(DataError, match="copy: all 18 lines of split test are training lines too; add lines"):
        evaluate(Bigram(WORDS), WORDS, known, [], PARAMS, HISTORY)
    plain, mixed = (
        evaluate(Bigram(WORDS), WORDS, lines, [], PARAMS, HISTORY).samples["bits_ratio"]
        for lines in (rows, pd.concat([rows, copied], ignore_index=True))
    )
    assert [column.tolist() for column in plain.columns] == [column.tolist() for column in mixed.columns]


def test_lines_of_one_group_are_one_row_of_the_intervals() -> None:
    rows = table(None)
    grouped = rows.assign(group=rows["text"].where(~rows["text"].isin(["Lovely coat", "Soft coat"]), "a"))
    alone, together = (
        evaluate(Bigram(WORDS), WORDS, lines, [], PARAMS, HISTORY).samples["bits_ratio"] for lines in (rows, grouped)
    )
    assert (alone.rows, together.rows) == (3, 2)
    assert [column.sum() for column in together.columns] == pytest.approx([column.sum() for column in alone.columns])
