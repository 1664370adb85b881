"""Evaluate the picture reader: accuracy, calibration and typical mistakes."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from adloom.arrays import AnyArray, Float32Array, Int64Array
from adloom.config.params import Evaluate
from adloom.creatives import figures
from adloom.creatives.inference import PictureReader, read_pictures
from adloom.creatives.table import Creatives, CreativeTable
from adloom.evaluation import figures as style
from adloom.evaluation import statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Figure, History, Metric, Sample, Section, Table

BINS, ROWS_PER_BIN = 15, 100
CONFUSION = "Confusion counts"
WORST = 16  # mistakes shown


def evaluate(
    reader: PictureReader, creatives: CreativeTable, categories: list[str], params: Evaluate, history: History
) -> Evaluation:
    """Measure a reader on split test. Raises DataError when there is no picture or a broken one."""
    rows = creatives.find_test_rows(categories)
    truth = creatives.number_categories(rows, categories)
    probabilities, _ = read_pictures(reader, creatives.decode_batches(rows))
    samples = _build_samples(probabilities, truth, categories)
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    sections = _build_sections(probabilities, truth, categories, metrics, history)
    wrong = np.flatnonzero(probabilities.argmax(1) != truth)
    if len(wrong):
        worst = wrong[np.argsort(-probabilities.max(1)[wrong], kind="stable")][:WORST]
        shown = Creatives(creatives.decode(rows[worst]), truth[worst])
        sections.append(_draw_worst_cases(probabilities[worst], shown, categories))
    return Evaluation(metrics, samples, sections)


def macro_f1(truth: AnyArray, predicted: AnyArray, weights: AnyArray) -> float:
    """Return the mean F1 score over the categories that occur."""
    number = int(max(truth.max(), predicted.max())) + 1
    hits = np.bincount(truth, weights * (truth == predicted), number)
    either = np.bincount(truth, weights, number) + np.bincount(predicted, weights, number)
    return float((2 * hits[either > 0] / either[either > 0]).mean())


def calibration_error(confidence: AnyArray, correct: AnyArray, weights: AnyArray) -> float:
    """
    Return the expected calibration error (Guo et al. 2017) of confidence (rows,), correct (rows,).

    The bins have equal numbers of rows, at least ROWS_PER_BIN. The error that a calibrated reader is expected to show
    on so many rows is subtracted.
    """
    bins = bin_confidence(confidence)
    gap = np.abs(np.bincount(bins, weights * (confidence - correct)))
    chance = np.sqrt(np.bincount(bins, weights * confidence * (1 - confidence)) * 2 / np.pi)
    return float(max(0.0, (gap - chance).sum()) / weights.sum())


def bin_confidence(confidence: AnyArray) -> Int64Array:
    """Return the number of each row's bin, by rank."""
    bins = max(1, min(BINS, len(confidence) // ROWS_PER_BIN))
    ranks = np.argsort(np.argsort(confidence, kind="stable"), kind="stable")
    return ranks * bins // len(confidence)


def _build_samples(probabilities: Float32Array, truth: AnyArray, categories: list[str]) -> dict[str, Sample]:
    predicted, confidence = probabilities.argmax(1), probabilities.max(1).astype(np.float64)
    correct = predicted == truth
    samples = {
        "accuracy": Sample((correct,), statistics.mean, "share"),
        "macro_f1": Sample((truth, predicted), macro_f1, "share"),
        "ece": Sample((confidence, correct), calibration_error, "share"),
    }
    per_category = {f"accuracy.{name}": correct[truth == number] for number, name in enumerate(categories)}
    return samples | {
        name: Sample((hits,), statistics.mean, "share") for name, hits in per_category.items() if len(hits)
    }


def _build_sections(
    probabilities: Float32Array,
    truth: Int64Array,
    categories: list[str],
    metrics: Mapping[str, Metric],
    history: History,
) -> list[Section]:
    predicted = probabilities.argmax(1)
    counts = np.zeros((len(categories), len(categories)))
    np.add.at(counts, (truth, predicted), 1)
    return [
        Figure("Confusion matrix", "Percent of each category's test pictures by what the reader takes them for.",
               partial(figures.draw_confusion, counts, categories)),
        _tabulate_confusion(counts, categories),
        _tabulate_categories(counts, categories, metrics),
        _draw_reliability(probabilities, truth),
        Figure("Learning curves", "Training pictures are shifted and their labels smoothed, validation ones are not.",
               partial(style.draw_learning_curves, history)),
    ]  # fmt: skip


def _tabulate_confusion(counts: AnyArray, categories: list[str]) -> Table:
    rows: list[list[str | float | int]] = [
        [name, *(int(count) for count in row)] for name, row in zip(categories, counts, strict=True)
    ]
    return Table(
        CONFUSION, "Test pictures of each category by what the reader takes them for.", ["category", *categories], rows
    )


def _tabulate_categories(counts: AnyArray, categories: list[str], metrics: Mapping[str, Metric]) -> Table:
    """Return the table of categories, the lowest accuracy first."""
    mistakes = counts - np.diag(np.diag(counts))
    rows: list[list[str | float | int]] = []
    for number, name in enumerate(categories):
        if metric := metrics.get(f"accuracy.{name}"):
            worst = mistakes[number].argmax()
            mistake = f"{categories[worst]} ({mistakes[number, worst]:.0f})" if mistakes[number].any() else "nothing"
            rows.append([name, metric.n, round(metric.value, 3), f"{metric.low:.3f} … {metric.high:.3f}", mistake])
    caption = "Accuracy on the test pictures with its 95 % interval, the worst first."
    header = ["category", "pictures", "accuracy", "interval", "most often taken for"]
    return Table("Categories", caption, header, sorted(rows, key=lambda row: float(row[2])))


def _draw_reliability(probabilities: Float32Array, truth: AnyArray) -> Figure:
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == truth
    bins = bin_confidence(confidence)
    counts = np.bincount(bins)
    stated, accuracy = (np.bincount(bins, values) / counts for values in (confidence, correct))
    caption = "How often the reader is right, by how sure it says it is; each circle stands for as many pictures."
    return Figure("Reliability", caption, partial(figures.draw_reliability, stated, accuracy, counts / counts.sum()))


def _draw_worst_cases(probabilities: Float32Array, wrong: Creatives, categories: list[str]) -> Figure:
    """Draw the most confident mistakes."""
    read = zip(wrong.category, probabilities.argmax(1), probabilities.max(1), strict=True)
    captions = [f"is {categories[truth]}\nread {categories[taken]}, {sure:.0%}" for truth, taken, sure in read]
    caption = "The mistakes it was surest of; some are the label's."
    return Figure("Worst cases", caption, partial(figures.draw_captioned, wrong.pixels, captions))
