"""Evaluate the picture generator: agreement, likeness to real pictures, and memorization."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from adloom.arrays import AnyArray, BoolArray, Float32Array, Float64Array, Int64Array, UInt8Array
from adloom.config.params import Evaluate
from adloom.creatives import distances, gan_sections, memorization
from adloom.creatives.conditions import ConditionSpace
from adloom.creatives.data_copying import ct_statistic
from adloom.creatives.inference import PictureGenerator, PictureReader, generate_pictures, read_pictures
from adloom.creatives.second_reader import fit_second_reader
from adloom.creatives.table import Creatives, CreativeTable
from adloom.evaluation import statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, History, Sample, Section

MIN_PER_CATEGORY = 20  # pictures to generate of each category
MIN_TRAINING = 10  # pictures of a category that counts for the lowest agreement
CANARIES = 300  # training pictures that are planted among the generated ones
TESTED = 10_000  # test pictures at most; more would tell little, and each is searched for in all training pictures
NEW = 1500  # validation pictures that tell how often new pictures are taken for copies
JUDGED = 1500  # real pictures in pretrained features, of each split
PAIRS = ("Nearest pairs", "The drawn pictures that come nearest to a training picture, relative.")
READER_PAIRS = ("Nearest pairs by reader", "The drawn pictures that the reader finds nearest to a training picture.")
Embed = Callable[[Iterable[UInt8Array]], Float32Array]


@dataclass(frozen=True)
class Judges:
    """Everything that judges a generator; metrics of an absent judge are left out."""

    reader: PictureReader | None = None
    known: Float32Array | None = None  # (training, dimensions), the reader's embeddings of the training pictures
    embed: Embed | None = None  # pretrained features of batches of pictures


@dataclass(frozen=True)
class EvaluationData:
    """Generated pictures, and the rows of the table with known categories."""

    generated: Creatives
    creatives: CreativeTable
    categories: list[str]
    train: Int64Array
    validation: Int64Array
    test: Int64Array

    @property
    def counts(self) -> Int64Array:
        """The number of training pictures of each category."""
        numbers = self.creatives.number_categories(self.train, self.categories)
        return np.bincount(numbers, minlength=len(self.categories))


def evaluate(
    generator: PictureGenerator,
    judges: Judges,
    creatives: CreativeTable,
    space: ConditionSpace,
    params: Evaluate,
    history: History,
) -> Evaluation:
    """
    Measure a generator on generated pictures in the training rows' mix of categories.

    Raises DataError when there is no test picture.
    """
    data = _generate(generator, creatives, space, params)
    search = _search_training(data, params.seed)
    is_repeat, is_outlier = memorization.find_repeats(data.generated.pixels), np.zeros(len(data.generated), bool)
    samples = {**_memorization_samples(search), "repeats": _share(is_repeat)}
    pairs = [(PAIRS, search.generated.index, search.generated.relative)]
    sections: list[Section] = [
        gan_sections.draw_sheet(data.generated, space.categories),
        gan_sections.draw_interpolation(generator, space, creatives.shape, params.seed),
    ]
    if judges.embed is not None and len(data.test) > 1:
        is_outlier, pretrained = _judge_by_features(judges.embed, data, is_repeat)
        samples |= pretrained
    if judges.reader is not None:
        reading = _read_all(judges.reader, data)
        samples |= _agreement_samples(data, (reading.predicted == data.generated.category) & ~is_repeat & ~is_outlier)
        if "frechet_distance" not in samples:  # pretrained features have given it
            samples |= _distance_samples(reading.drawn, reading.real)
        samples |= _manifold_samples(reading, is_repeat, is_outlier)
        sections += gan_sections.draw_misread(reading.predicted, data.generated, space.categories)
        sections += gan_sections.list_small(data.counts, space.categories, MIN_TRAINING)
        if judges.known is not None:
            index, distance = memorization.nearest_embeddings(reading.drawn, judges.known)
            test_distance = memorization.nearest_embeddings(reading.real, judges.known)[1]
            samples["ct_statistic"] = _copying_sample(reading, distance, test_distance)
            pairs.append((READER_PAIRS, index, distance))
    samples = {name: sample for name, sample in samples.items() if sample.defined}
    with threadpool_limits(1, "blas"):  # in small sums, threads wait for each other longer than they compute
        metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    sections += [
        *gan_sections.tabulate_categories(metrics, space.categories),
        gan_sections.draw_distances(search.generated, search.test),
        *(gan_sections.draw_pairs(*pair, data.generated, data.train, creatives) for pair in pairs),
        gan_sections.draw_curves(history),
    ]
    return Evaluation(metrics, samples, sections)


@dataclass(frozen=True)
class Reading:
    """The reader's outputs for generated and for test pictures."""

    predicted: Int64Array  # (generated,), the category that the reader predicts
    drawn: Float32Array  # (generated, dimensions), embeddings
    real_predicted: Int64Array  # (test,)
    real: Float32Array  # (test, dimensions)


@dataclass(frozen=True)
class Search:
    """The nearest training pictures of four groups of pictures."""

    generated: memorization.NearestTraining
    test: memorization.NearestTraining
    validation: memorization.NearestTraining
    canaries: memorization.NearestTraining


def choose_categories(category: Int64Array, categories: int, number: int) -> Int64Array:
    """Return the categories to generate (about number,), in the rows' shares."""
    shares = np.bincount(category, minlength=categories) / len(category)
    return np.repeat(np.arange(categories), np.maximum(np.rint(shares * number).astype(np.int64), MIN_PER_CATEGORY))


def lowest_share(category: AnyArray, hit: AnyArray, weights: AnyArray) -> float:
    """Return the lowest share of hits (rows,) over the categories (rows,); those below 0 are left out."""
    known = category >= 0
    number = int(category.max(initial=-1)) + 1
    rows = np.bincount(category[known], weights[known], number)
    hits = np.bincount(category[known], (weights * hit)[known], number)
    return float((hits[rows > 0] / rows[rows > 0]).min()) if rows.any() else float("nan")


def weighted_median(values: AnyArray, weights: AnyArray) -> float:
    """Return the smallest value that half of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def spread_rows(rows: Int64Array, number: int) -> Int64Array:
    """Return at most `number` of the rows, evenly spread."""
    return rows[:: -(-len(rows) // number)] if len(rows) > number else rows


def _generate(
    generator: PictureGenerator, creatives: CreativeTable, space: ConditionSpace, params: Evaluate
) -> EvaluationData:
    train, validation = (creatives.find_rows(split, space.categories) for split in ("train", "validation"))
    test = spread_rows(creatives.find_test_rows(space.categories), TESTED)
    mix = creatives.number_categories(train, space.categories)
    category = choose_categories(mix, len(space.categories), params.gan_samples)
    pixels = generate_pictures(generator, space.encode(category), creatives.shape, params.seed)
    return EvaluationData(Creatives(pixels, category), creatives, space.categories, train, validation, test)


def _search_training(data: EvaluationData, seed: int) -> Search:
    """Find the nearest training pictures of all groups; the training pictures are read once."""
    creatives = data.creatives
    canaries = memorization.make_canaries(creatives.decode(spread_rows(data.train, CANARIES)), seed)
    validation = spread_rows(data.validation, NEW)
    real = chain(creatives.decode_batches(data.test), creatives.decode_batches(validation))
    searched = chain(data.generated.split_batches(), real, [canaries])
    near = memorization.find_nearest(searched, creatives.decode_batches(data.train))
    ends = np.cumsum([0, len(data.generated), len(data.test), len(validation), len(canaries)])
    return Search(*(near.select(slice(start, end)) for start, end in pairwise(ends.tolist())))


def _memorization_samples(search: Search) -> dict[str, Sample]:
    threshold = memorization.copy_threshold(search.test)
    is_new = search.validation.pixels >= memorization.LEAK
    return {
        "copies": _share(search.generated.relative < threshold),
        "nearest_distance": Sample((search.generated.relative,), weighted_median, "distance"),
        "canary_recall": _share(search.canaries.relative < threshold),
        "false_copies": _share(search.validation.relative[is_new] < threshold),
    }


def _judge_by_features(embed: Embed, data: EvaluationData, is_repeat: BoolArray) -> tuple[BoolArray, dict[str, Sample]]:
    """Return which generated pictures are outliers, and the metrics in pretrained features."""
    creatives, categories = data.creatives, data.categories
    test, validation = (spread_rows(split, JUDGED) for split in (data.test, data.validation))
    drawn, real = embed(data.generated.split_batches()), embed(creatives.decode_batches(test))
    is_outlier = distances.find_outliers(drawn, real)
    samples = {"outliers": _share(is_outlier), **_distance_samples(drawn, real)}
    labels = creatives.number_categories(validation, categories)
    features = embed(creatives.decode_batches(validation)) if len(validation) else real[:0]
    second = fit_second_reader(features, labels, len(categories))
    if second is not None:
        hit = second.read(drawn) == data.generated.category
        samples["second_agreement"] = _share(hit & ~is_repeat & ~is_outlier)
        samples["second_accuracy"] = _share(second.read(real) == creatives.number_categories(test, categories))
    return is_outlier, samples


def _distance_samples(drawn: Float32Array, real: Float32Array) -> dict[str, Sample]:
    mean, covariance = distances.fit_normal(real)
    factor = distances.cholesky(covariance)

    def frechet(row: AnyArray, weights: AnyArray) -> float:
        return distances.frechet_distance(drawn[row], mean, covariance, weights, factor)

    return {
        "frechet_distance": Sample((np.arange(len(drawn)),), frechet, "distance"),
        "kernel_distance": Sample((distances.kernel_distances(drawn, real),), statistics.mean, "distance"),
    }


def _read_all(reader: PictureReader, data: EvaluationData) -> Reading:
    drawn = read_pictures(reader, data.generated.split_batches())
    real = read_pictures(reader, data.creatives.decode_batches(data.test))
    return Reading(drawn[0].argmax(1), drawn[1], real[0].argmax(1), real[1])


def _manifold_samples(reading: Reading, is_repeat: BoolArray, is_outlier: BoolArray) -> dict[str, Sample]:
    """Return precision and recall; outliers have no manifold, and repeats one without extent."""
    return {
        "precision": _share(distances.in_manifold(reading.drawn, reading.real) & ~is_repeat & ~is_outlier),
        "recall": _share(distances.in_manifold(reading.real, reading.drawn[~is_outlier])),
    }


def _copying_sample(reading: Reading, distance: Float64Array, test_distance: Float64Array) -> Sample:
    columns = (
        np.concatenate([test_distance, distance]),
        np.repeat([False, True], [len(test_distance), len(distance)]),
        np.concatenate([reading.real_predicted, reading.predicted]),
    )
    return Sample(columns, ct_statistic, "deviations")


def _agreement_samples(data: EvaluationData, hit: BoolArray) -> dict[str, Sample]:
    category = data.generated.category
    each = {f"agreement.{name}": _share(hit[category == number]) for number, name in enumerate(data.categories)}
    large = np.where(data.counts[category] < MIN_TRAINING, -1, category)
    return {"agreement": _share(hit), "agreement_lowest": Sample((large, hit), lowest_share, "share"), **each}


def _share(hit: AnyArray) -> Sample:
    return Sample((hit,), statistics.mean, "share")
