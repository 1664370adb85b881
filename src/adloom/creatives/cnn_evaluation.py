"""Evaluate the picture reader: accuracy, calibration and typical mistakes."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, Float32Array, UInt8Array
from adloom.config.params import Evaluate
from adloom.creatives import figures, table
from adloom.creatives.pictures import to_floats
from adloom.evaluation import figures as style
from adloom.evaluation import statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Figure, History, Metric, Sample, Section, Table

BATCH = 500
BINS = 15
CONFUSION = "Confusion counts"
WORST = 16  # mistakes shown


class Reading(Protocol):
    """The outputs of a reader for a batch of pictures."""

    @property
    def probabilities(self) -> Float32Array:
        """(batch, categories), rows sum to 1."""

    @property
    def embedding(self) -> Float32Array:
        """(batch, dimensions), rows of unit length."""


class PictureReader(Protocol):
    """A reader: pictures (batch, channels, height, width) in [-1, 1] to a Reading."""

    def __call__(self, picture: Float32Array) -> Reading:
        """Read pictures."""
        ...


def evaluate(
    reader: PictureReader, rows: pd.DataFrame, categories: list[str], params: Evaluate, history: History
) -> Evaluation:
    """Measure a reader on split test. Raises DataError when there is no picture or a broken one."""
    test = table.decode_test(rows, categories)
    probabilities, _ = read_pictures(reader, test.pixels)
    samples = _build_samples(probabilities, test.category, categories)
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    return Evaluation(metrics, samples, _build_sections(probabilities, test, categories, metrics, history))


def read_pictures(reader: PictureReader, pixels: UInt8Array) -> tuple[Float32Array, Float32Array]:
    """Return the probabilities and the embeddings of pictures, read in batches."""
    readings = [reader(to_floats(pixels[start : start + BATCH])) for start in range(0, len(pixels), BATCH)]
    probabilities = np.concatenate([reading.probabilities for reading in readings])
    return probabilities, np.concatenate([reading.embedding for reading in readings])


def macro_f1(truth: AnyArray, predicted: AnyArray, weights: AnyArray) -> float:
    """Return the mean F1 score over the categories that occur."""
    number = int(max(truth.max(), predicted.max())) + 1
    hits = np.bincount(truth, weights * (truth == predicted), number)
    either = np.bincount(truth, weights, number) + np.bincount(predicted, weights, number)
    return float((2 * hits[either > 0] / either[either > 0]).mean())


def calibration_error(confidence: AnyArray, correct: AnyArray, weights: AnyArray) -> float:
    """Return the expected calibration error (Guo et al. 2017) of confidence (rows,), correct (rows,)."""
    gap = np.bincount(_bin_confidence(confidence), weights * (confidence - correct), BINS)
    return float(np.abs(gap).sum() / weights.sum())


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
    test: table.Creatives,
    categories: list[str],
    metrics: Mapping[str, Metric],
    history: History,
) -> list[Section]:
    predicted = probabilities.argmax(1)
    counts = np.zeros((len(categories), len(categories)))
    np.add.at(counts, (test.category, predicted), 1)
    sections: list[Section] = [
        Figure("Confusion matrix", "Percent of each category's test pictures by what the reader takes them for.",
               figures.draw_confusion(counts, categories)),
        _tabulate_confusion(counts, categories),
        _tabulate_categories(counts, categories, metrics),
        _draw_reliability(probabilities, test.category),
        Figure("Learning curves", "Training pictures are shifted and their labels smoothed, validation ones are not.",
               style.draw_learning_curves(history)),
    ]  # fmt: skip
    return [*sections, *_draw_worst_cases(probabilities, test, categories)]


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
    bins = _bin_confidence(confidence)
    counts = np.bincount(bins, minlength=BINS)
    filled = counts > 0
    stated, accuracy = (np.bincount(bins, values, BINS)[filled] / counts[filled] for values in (confidence, correct))
    caption = "How often the reader is right, by how sure it says it is; larger circles stand for more pictures."
    return Figure("Reliability", caption, figures.draw_reliability(stated, accuracy, counts[filled] / counts.sum()))


def _draw_worst_cases(probabilities: Float32Array, test: table.Creatives, categories: list[str]) -> list[Section]:
    """Return the most confident mistakes, if there are any."""
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predicted != test.category)
    most_confident = wrong[np.argsort(-confidence[wrong], kind="stable")][:WORST]
    if not len(most_confident):
        return []
    captions = [
        f"is {categories[test.category[row]]}\nread {categories[predicted[row]]}, {confidence[row]:.0%}"
        for row in most_confident
    ]
    caption = "The mistakes it was surest of; some are the label's."
    return [Figure("Worst cases", caption, figures.draw_captioned(test.pixels[most_confident], captions))]


def _bin_confidence(confidence: AnyArray) -> AnyArray:
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
