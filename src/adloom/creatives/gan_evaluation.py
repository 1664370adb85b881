"""Evaluate the picture generator: agreement, likeness to real pictures, and memorization."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

import numpy as np

from adloom.arrays import AnyArray, Float32Array, Int64Array
from adloom.config.params import Evaluate
from adloom.creatives import distances, figures, memorization
from adloom.creatives.conditions import ConditionSpace
from adloom.creatives.inference import PictureGenerator, PictureReader, generate_pictures, read_pictures
from adloom.creatives.table import Creatives, CreativeTable
from adloom.evaluation import figures as style
from adloom.evaluation import statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Figure, History, Metric, Sample, Section, Table

MIN_PER_CATEGORY = 20  # pictures to generate of each category
SHOWN = 10  # pictures in a row
PAIRS = 8  # nearest neighbours shown


@dataclass(frozen=True)
class Judgement:
    """The reader's outputs for generated and real pictures."""

    predicted: Int64Array  # (generated,), the category that the reader predicts
    generated: Float32Array  # (generated, dimensions), embeddings
    real: Float32Array  # (test, dimensions)


def evaluate(
    generator: PictureGenerator,
    reader: PictureReader | None,
    creatives: CreativeTable,
    space: ConditionSpace,
    params: Evaluate,
    history: History,
) -> Evaluation:
    """
    Measure a generator on generated pictures in the training rows' mix of categories.

    Without a reader, metrics that need one are left out. Raises DataError when there is no test picture.
    """
    categories = space.categories
    train, test = creatives.find_rows("train", categories), creatives.find_test_rows(categories)
    mix = creatives.number_categories(train, categories)
    category = choose_categories(mix, len(categories), params.gan_samples)
    generated = Creatives(generate_pictures(generator, space.encode(category), creatives.shape, params.seed), category)
    near = _find_nearest(generated, test, train, creatives)
    samples = _memorization_samples(near["drawn"], memorization.copy_threshold(near["test"]))
    sheet = [(name, generated.pixels[generated.category == number][:SHOWN]) for number, name in enumerate(categories)]
    caption = "The first pictures drawn of each category, not selected."
    sections: list[Section] = [Figure("Sample sheet", caption, figures.draw_rows(sheet))]
    if reader is not None:
        probabilities, embedding = read_pictures(reader, generated.split_batches())
        real = read_pictures(reader, creatives.decode_batches(test))[1]
        judgement = Judgement(probabilities.argmax(1), embedding, real)
        samples |= _agreement_samples(judgement.predicted == generated.category, generated.category, categories)
        samples |= _distance_samples(judgement)
        sections += _draw_misread(judgement.predicted, generated, categories)
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    sections += [
        *_tabulate_categories(metrics, categories),
        _draw_distances(near),
        _draw_pairs(near["drawn"], generated, train, creatives),
    ]
    sections.append(Figure("Learning curves", CURVES, style.draw_learning_curves(history)))
    return Evaluation(metrics, samples, sections)


CURVES = (
    "Hinge losses of the two opponents. They tell of balance, not of quality: a discriminator at 0 has won, one at 2 "
    "cannot tell real from drawn."
)


def choose_categories(category: Int64Array, categories: int, number: int) -> Int64Array:
    """Return the categories to generate (about number,), in the rows' shares."""
    shares = np.bincount(category, minlength=categories) / len(category)
    return np.repeat(np.arange(categories), np.maximum(np.rint(shares * number).astype(np.int64), MIN_PER_CATEGORY))


def lowest_share(category: AnyArray, hit: AnyArray, weights: AnyArray) -> float:
    """Return the lowest share of hits (rows,) over the categories (rows,)."""
    number = int(category.max()) + 1
    rows = np.bincount(category, weights, number)
    hits = np.bincount(category, weights * hit, number)
    return float((hits[rows > 0] / rows[rows > 0]).min())


def weighted_median(values: AnyArray, weights: AnyArray) -> float:
    """Return the smallest value that half of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _find_nearest(
    generated: Creatives, test: Int64Array, train: Int64Array, creatives: CreativeTable
) -> dict[str, memorization.NearestTraining]:
    """Return the nearest training pictures of both groups; the training pictures are read once."""
    pictures = chain(generated.split_batches(), creatives.decode_batches(test))
    near = memorization.find_nearest(pictures, creatives.decode_batches(train))
    return {"drawn": near.select(slice(len(generated))), "test": near.select(slice(len(generated), None))}


def _memorization_samples(near: memorization.NearestTraining, threshold: float) -> dict[str, Sample]:
    return {
        "copies": Sample((near.relative < threshold,), statistics.mean, "share"),
        "nearest_distance": Sample((near.relative,), weighted_median, "distance"),
    }


def _agreement_samples(hit: AnyArray, category: Int64Array, categories: list[str]) -> dict[str, Sample]:
    each = {
        f"agreement.{name}": Sample((hit[category == number],), statistics.mean, "share")
        for number, name in enumerate(categories)
    }
    return {
        "agreement": Sample((hit,), statistics.mean, "share"),
        "agreement_lowest": Sample((category, hit), lowest_share, "share"),
        **each,
    }


def _distance_samples(judgement: Judgement) -> dict[str, Sample]:
    mean, covariance = distances.fit_normal(judgement.real)

    def frechet(row: AnyArray, weights: AnyArray) -> float:
        return distances.frechet_distance(judgement.generated[row], mean, covariance, weights)

    generated, real = judgement.generated, judgement.real
    return {
        "frechet_distance": Sample((np.arange(len(generated)),), frechet, "distance"),
        "kernel_distance": Sample((distances.kernel_distances(generated, real),), statistics.mean, "distance"),
        "precision": Sample((distances.in_manifold(generated, real),), statistics.mean, "share"),
        "recall": Sample((distances.in_manifold(real, generated),), statistics.mean, "share"),
    }


def _draw_misread(predicted: Int64Array, generated: Creatives, categories: list[str]) -> list[Section]:
    """Return misread pictures of the worst category, if there are any."""
    wrong = predicted != generated.category
    if not wrong.any():
        return []
    worst = int(np.bincount(generated.category[wrong]).argmax())
    rows = np.flatnonzero(wrong & (generated.category == worst))[: 2 * PAIRS]
    captions = [f"read as\n{categories[predicted[row]]}" for row in rows]
    picture = figures.draw_captioned(generated.pixels[rows], captions)
    return [Figure(f"Worst category: {categories[worst]}", "Drawn as asked, taken for something else.", picture)]


def _tabulate_categories(metrics: Mapping[str, Metric], categories: list[str]) -> list[Section]:
    """Return the table of agreement per category, if there was a reader."""
    known = [(name, metrics[f"agreement.{name}"]) for name in categories if f"agreement.{name}" in metrics]
    if not known:
        return []
    rows: list[list[str | float | int]] = [
        [name, metric.n, round(metric.value, 3), f"{metric.low:.3f} … {metric.high:.3f}"]
        for name, metric in sorted(known, key=lambda pair: pair[1].value)
    ]
    caption = "Share of drawn pictures that the reader takes for the category asked, the worst first."
    return [Table("Categories", caption, ["category", "drawn", "agreement", "95 % interval"], rows)]


def _draw_distances(near: Mapping[str, memorization.NearestTraining]) -> Figure:
    names = {"drawn": "drawn pictures", "test": "real test pictures"}
    relative = {names[group]: nearest.relative for group, nearest in near.items()}
    pixels = {names[group]: nearest.pixels for group, nearest in near.items()}
    unit = f"distance to the nearest / to the {memorization.SCALE_NEIGHBOUR}th"
    picture = figures.draw_histograms(
        [
            (unit, relative, memorization.copy_threshold(near["test"])),
            ("distance to the nearest, grey levels", pixels, None),
        ]
    )
    caption = (
        "How near pictures lie to their nearest training picture, mirrored or not. Copies would pile up near 0, left "
        "of the threshold, which 0.1 % of real new pictures pass. Plain distances (right) fall for smooth ones, too."
    )
    return Figure("Nearest training pictures", caption, picture)


def _draw_pairs(
    near: memorization.NearestTraining, generated: Creatives, train: Int64Array, creatives: CreativeTable
) -> Figure:
    closest = np.argsort(near.relative, kind="stable")[:PAIRS]
    labels = [f"{near.relative[row]:.2f}" for row in closest]
    nearest = creatives.decode(train[near.index[closest]])
    picture = figures.draw_pairs(generated.pixels[closest], nearest, labels, ("drawn", "nearest training"))
    return Figure("Nearest pairs", "The drawn pictures that come nearest to a training picture, relative.", picture)
