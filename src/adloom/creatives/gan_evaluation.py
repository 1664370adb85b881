"""How good drawn pictures are: what a reader takes them for, how real they are, and whether they are copies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, Float32Array, Int64Array
from adloom.config.params import Evaluate
from adloom.creatives import distances, figures, memorization, table
from adloom.creatives.cnn_evaluation import BATCH, Read, read
from adloom.creatives.pictures import to_pixels
from adloom.creatives.table import Creatives
from adloom.errors import DataError
from adloom.evaluation import figures as style
from adloom.evaluation import statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Figure, History, Metric, Sample, Section, Table

FEWEST = 20  # pictures drawn of a category, however rare it is
SHOWN = 10  # pictures in a row
PAIRS = 8  # nearest neighbours shown


class Generate(Protocol):
    """A generator: z (batch, latent) and category (batch,) to pictures (batch, channels, height, width) in [-1, 1]."""

    @property
    def latent(self) -> int:
        """Length of z."""

    def __call__(self, z: Float32Array, category: Int64Array) -> Float32Array:
        """Draw pictures."""
        ...


@dataclass(frozen=True)
class Judgement:
    """What a reader makes of drawn and of real pictures."""

    found: Int64Array  # (drawn,), the category each drawn picture is taken for
    drawn: Float32Array  # (drawn, dimensions), embeddings
    real: Float32Array  # (test, dimensions)


def evaluate(
    generator: Generate,
    reader: Read | None,
    rows: pd.DataFrame,
    categories: list[str],
    params: Evaluate,
    history: History,
) -> Evaluation:
    """
    Measure a generator on pictures it draws in the training rows' mix of categories.

    `rows` are of the splits train and test: test pictures are what good ones look like, training pictures what must
    not be copied. Without a reader only what needs none is measured. Raises DataError when there is no test picture.
    """
    train, test = (table.take(rows, split, categories) for split in ("train", "test"))
    if not len(test):
        raise DataError("creatives: 0 pictures in split test, expected at least 1; add pictures to ingest.creatives")
    drawn = draw(generator, mix(train.category, len(categories), params.gan_samples), params.seed)
    near = {who: memorization.nearest(some.pixels, train.pixels) for who, some in (("drawn", drawn), ("test", test))}
    samples = _copies(near["drawn"], memorization.threshold(near["test"]))
    sections: list[Section] = [_sheet(drawn, categories)]
    if reader is not None:
        judgement = _judge(reader, drawn, test)
        samples |= _agreement(judgement.found == drawn.category, drawn.category, categories)
        samples |= _likeness(judgement)
        sections += _misread(judgement.found, drawn, categories)
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    sections += [*_categories(metrics, categories), _distances(near), _pairs(near["drawn"], drawn, train)]
    sections.append(Figure("Learning curves", CURVES, style.draw_learning_curves(history)))
    return Evaluation(metrics, samples, sections)


CURVES = (
    "Hinge losses of the two opponents. They tell of balance, not of quality: a discriminator at 0 has won, one at 2 "
    "cannot tell real from drawn."
)


def mix(category: Int64Array, categories: int, number: int) -> Int64Array:
    """Return the categories to draw, (about number,), in the shares of these rows, at least FEWEST of each."""
    shares = np.bincount(category, minlength=categories) / len(category)
    return np.repeat(np.arange(categories), np.maximum(np.rint(shares * number).astype(np.int64), FEWEST))


def draw(generator: Generate, category: Int64Array, seed: int) -> Creatives:
    """Draw a picture for each category asked; picture i depends on (seed, i) and its category alone."""
    z = np.random.default_rng(seed).standard_normal((len(category), generator.latent), np.float32)
    starts = range(0, len(category), BATCH)
    drawn = [to_pixels(generator(z[s : s + BATCH], category[s : s + BATCH])) for s in starts]
    return Creatives(np.concatenate(drawn), category)


def lowest(category: AnyArray, hit: AnyArray, weights: AnyArray) -> float:
    """Return the lowest share of hits (rows,) of any one category (rows,)."""
    number = int(category.max()) + 1
    rows = np.bincount(category, weights, number)
    hits = np.bincount(category, weights * hit, number)
    return float((hits[rows > 0] / rows[rows > 0]).min())


def median(values: AnyArray, weights: AnyArray) -> float:
    """Return the weighted median: the smallest value that half of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _judge(reader: Read, drawn: Creatives, test: Creatives) -> Judgement:
    probabilities, embedding = read(reader, drawn.pixels)
    return Judgement(probabilities.argmax(1), embedding, read(reader, test.pixels)[1])


def _copies(near: memorization.Nearest, threshold: float) -> dict[str, Sample]:
    return {
        "copies": Sample((near.relative < threshold,), statistics.mean, "share"),
        "nearest_distance": Sample((near.relative,), median, "distance"),
    }


def _agreement(hit: AnyArray, category: Int64Array, categories: list[str]) -> dict[str, Sample]:
    each = {
        f"agreement.{name}": Sample((hit[category == number],), statistics.mean, "share")
        for number, name in enumerate(categories)
    }
    return {
        "agreement": Sample((hit,), statistics.mean, "share"),
        "agreement_lowest": Sample((category, hit), lowest, "share"),
        **each,
    }


def _likeness(judgement: Judgement) -> dict[str, Sample]:
    mean, covariance = distances.normal(judgement.real)

    def frechet(row: AnyArray, weights: AnyArray) -> float:
        return distances.frechet(judgement.drawn[row], mean, covariance, weights)

    drawn, real = judgement.drawn, judgement.real
    return {
        "frechet_distance": Sample((np.arange(len(drawn)),), frechet, "distance"),
        "kernel_distance": Sample((distances.kernel(drawn, real),), statistics.mean, "distance"),
        "precision": Sample((distances.covered(drawn, real),), statistics.mean, "share"),
        "recall": Sample((distances.covered(real, drawn),), statistics.mean, "share"),
    }


def _sheet(drawn: Creatives, categories: list[str]) -> Figure:
    rows = [(name, drawn.pixels[drawn.category == number][:SHOWN]) for number, name in enumerate(categories)]
    return Figure(
        "Sample sheet", "The first pictures drawn of each category, not selected.", figures.rows_of_pictures(rows)
    )


def _misread(found: Int64Array, drawn: Creatives, categories: list[str]) -> list[Section]:
    """Return the pictures of the worst category that were taken for another; nothing when all were read as asked."""
    wrong = found != drawn.category
    if not wrong.any():
        return []
    worst = int(np.bincount(drawn.category[wrong]).argmax())
    rows = np.flatnonzero(wrong & (drawn.category == worst))[: 2 * PAIRS]
    captions = [f"read as\n{categories[found[row]]}" for row in rows]
    picture = figures.captioned(drawn.pixels[rows], captions)
    return [Figure(f"Worst category: {categories[worst]}", "Drawn as asked, taken for something else.", picture)]


def _categories(metrics: Mapping[str, Metric], categories: list[str]) -> list[Section]:
    """Return the table of agreement per category, the worst first; nothing when no reader judged."""
    known = [(name, metrics[f"agreement.{name}"]) for name in categories if f"agreement.{name}" in metrics]
    if not known:
        return []
    rows: list[list[str | float | int]] = [
        [name, metric.n, round(metric.value, 3), f"{metric.low:.3f} … {metric.high:.3f}"]
        for name, metric in sorted(known, key=lambda pair: pair[1].value)
    ]
    caption = "Share of drawn pictures that the reader takes for the category asked, the worst first."
    return [Table("Categories", caption, ["category", "drawn", "agreement", "95 % interval"], rows)]


def _distances(near: Mapping[str, memorization.Nearest]) -> Figure:
    names = {"drawn": "drawn pictures", "test": "real test pictures"}
    relative = {names[who]: found.relative for who, found in near.items()}
    pixels = {names[who]: found.pixels for who, found in near.items()}
    unit = f"distance to the nearest / to the {memorization.SCALE}th"
    picture = figures.distributions(
        [(unit, relative, memorization.threshold(near["test"])), ("distance to the nearest, grey levels", pixels, None)]
    )
    caption = (
        "How near pictures lie to their nearest training picture, mirrored or not. Copies would pile up near 0, left "
        "of the threshold, which 0.1 % of real new pictures pass. Plain distances (right) fall for smooth ones, too."
    )
    return Figure("Nearest training pictures", caption, picture)


def _pairs(near: memorization.Nearest, drawn: Creatives, train: Creatives) -> Figure:
    closest = np.argsort(near.relative, kind="stable")[:PAIRS]
    labels = [f"{near.relative[row]:.2f}" for row in closest]
    picture = figures.pairs(
        drawn.pixels[closest], train.pixels[near.index[closest]], labels, ("drawn", "nearest training")
    )
    return Figure("Nearest pairs", "The drawn pictures that come nearest to a training picture, relative.", picture)
