"""Evaluate attributes: whether drawn pictures show those asked for, and whether the reader recognises real ones."""

from collections.abc import Iterable
from functools import partial
from itertools import accumulate
from typing import Protocol

import numpy as np

from adloom.arrays import Float32Array, Int64Array, UInt8Array
from adloom.config.params import Evaluate
from adloom.creatives import figures
from adloom.creatives.conditions import ConditionSpace
from adloom.creatives.inference import PictureGenerator, generate_pictures
from adloom.creatives.pictures import to_floats
from adloom.creatives.table import Creatives, CreativeTable
from adloom.evaluation import statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Figure, Sample, Section, Table

MIN_PER_VALUE = 20  # pictures to draw of each value
SHOWN = 10  # pictures in a row


class AttributeReader(Protocol):
    """A reader with heads for attributes."""

    def read_attributes(self, picture: Float32Array) -> Float32Array:
        """Map pictures in [-1, 1] to the probabilities (batch, values) of the values of each attribute in turn."""
        ...


def evaluate_generator(
    generator: PictureGenerator,
    reader: AttributeReader,
    creatives: CreativeTable,
    space: ConditionSpace,
    params: Evaluate,
) -> Evaluation:
    """Draw pictures of each value of each attribute, in the categories that have it, and let the reader name it."""
    labels = _choose_labels(creatives, space, params)
    pixels = generate_pictures(generator, space.encode(labels), creatives.shape, params.seed)
    predicted = _predict(reader, Creatives(pixels, labels[:, 0]).split_batches(), space)
    caption = "The first pictures drawn of each value, not selected; other attributes are left to the generator."
    figure = Figure("Attributes", caption, partial(figures.draw_rows, _arrange_rows(pixels, labels, space)))
    title = "Agreement by attribute", "Share of drawn pictures in which the reader sees the value asked for."
    return _evaluate("attribute_agreement", labels[:, 1:], predicted, space, params, title, [figure])


def evaluate_reader(
    reader: AttributeReader, creatives: CreativeTable, space: ConditionSpace, params: Evaluate
) -> Evaluation:
    """Read the attributes of the test pictures."""
    rows = creatives.find_test_rows(space.categories)
    predicted = _predict(reader, creatives.decode_batches(rows), space)
    title = "Accuracy by attribute", "Share of test pictures with the value that the reader sees in them."
    labels = creatives.number_labels(rows, space)[:, 1:]
    return _evaluate("attribute_accuracy", labels, predicted, space, params, title, [])


def _choose_labels(creatives: CreativeTable, space: ConditionSpace, params: Evaluate) -> Int64Array:
    """Return labels with one attribute each: every value equally often, its categories as in the training rows."""
    train = creatives.number_labels(creatives.find_rows("train", space.categories), space)
    number = max(MIN_PER_VALUE, params.gan_samples // sum(space.sizes[1:]))
    random, chosen = np.random.default_rng(params.seed), []
    for column, size in enumerate(space.sizes[1:], 1):
        for value in range(size):
            labels = np.full((number, len(space.sizes)), -1)
            labels[:, 0] = random.choice(train[train[:, column] == value, 0], number)
            labels[:, column] = value
            chosen.append(labels)
    return np.concatenate(chosen)


def _predict(reader: AttributeReader, batches: Iterable[UInt8Array], space: ConditionSpace) -> Int64Array:
    """Return the most probable value of each attribute (pictures, attributes)."""
    probabilities = np.concatenate([reader.read_attributes(to_floats(batch)) for batch in batches])
    groups = np.split(probabilities, list(accumulate(space.sizes[1:]))[:-1], axis=1)
    return np.stack([group.argmax(1) for group in groups], 1)


def _evaluate(
    metric: str,
    labels: Int64Array,
    predicted: Int64Array,
    space: ConditionSpace,
    params: Evaluate,
    title: tuple[str, str],
    sections: list[Section],
) -> Evaluation:
    """Return a metric per attribute over the pictures that have it, and the table of values."""
    samples: dict[str, Sample] = {}
    rows: list[list[str | float | int]] = []
    for column, (name, values) in enumerate(space.attributes.items()):
        present = labels[:, column] >= 0
        truth, hit = labels[present, column], predicted[present, column] == labels[present, column]
        if len(hit):
            samples[f"{metric}.{name}"] = Sample((hit,), statistics.mean, "share")
        for number, value in enumerate(values):
            hits = hit[truth == number]
            rows.append([name, value, len(hits), round(float(hits.mean()), 3) if len(hits) else "none"])
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    table = Table(*title, ["attribute", "value", "pictures", "share"], rows)
    return Evaluation(metrics, samples, [table, *sections])


def _arrange_rows(pixels: UInt8Array, labels: Int64Array, space: ConditionSpace) -> list[tuple[str, UInt8Array]]:
    return [
        (f"{name}: {value}", pixels[labels[:, column] == number][:SHOWN])
        for column, (name, values) in enumerate(space.attributes.items(), 1)
        for number, value in enumerate(values)
    ]
