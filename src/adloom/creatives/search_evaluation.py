"""Evaluate what a reader finds and what disturbs it: retrieval, near-duplicates and robustness."""

from dataclasses import dataclass

import numpy as np

from adloom.arrays import AnyArray, BoolArray, Float32Array, Int64Array
from adloom.config.params import Evaluate
from adloom.creatives.inference import PictureReader, read_pictures
from adloom.creatives.memorization import nearest_embeddings
from adloom.creatives.table import Creatives, CreativeTable
from adloom.creatives.transforms import DISTURBANCES, DUPLICATES, Transform
from adloom.evaluation import statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Sample, Table

PICTURES = 1000  # test pictures that are changed and searched for
UNCHANGED = "unchanged"


@dataclass(frozen=True)
class KnownPictures:
    """The pictures among which a reader searches."""

    category: Int64Array  # (pictures,), the number of each one's category
    embedding: Float32Array  # (pictures, dimensions), rows of unit length


def evaluate(
    reader: PictureReader, creatives: CreativeTable, categories: list[str], known: KnownPictures, params: Evaluate
) -> Evaluation:
    """Search for up to PICTURES test pictures, as they are and changed, among the known pictures and themselves."""
    rows = creatives.find_test_rows(categories)
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), PICTURES)).astype(np.int64)]
    pictures = Creatives(creatives.decode(rows), creatives.number_categories(rows, categories))
    readings = {UNCHANGED: read_pictures(reader, pictures.split_batches())}
    for name, transform in DISTURBANCES.items():
        readings[name] = read_pictures(reader, _change(pictures, transform, params.seed).split_batches())
    correct = {name: probabilities.argmax(1) == pictures.category for name, (probabilities, _) in readings.items()}
    gallery = np.concatenate([known.embedding, readings[UNCHANGED][1]])
    found = {name: _find_originals(readings[name][1], gallery, len(rows)) for name in DUPLICATES}
    samples = {"near_duplicates": Sample((np.concatenate([*found.values()]),), statistics.mean, "share")}
    if len(known.category):
        nearest, _ = nearest_embeddings(readings[UNCHANGED][1], known.embedding)
        samples["recall_at_1"] = Sample((known.category[nearest] == pictures.category,), statistics.mean, "share")
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    return Evaluation(metrics, samples, [_tabulate(correct, found)])


def _change(pictures: Creatives, transform: Transform, seed: int) -> Creatives:
    return Creatives(transform(pictures.pixels, np.random.default_rng(seed)), pictures.category)


def _find_originals(embedding: Float32Array, gallery: Float32Array, pictures: int) -> BoolArray:
    """Return whether the nearest picture of each changed one is its original; originals end the gallery."""
    own = len(gallery) - pictures + np.arange(pictures)
    nearest, _ = nearest_embeddings(embedding, gallery)
    found: BoolArray = (nearest == own) | (gallery[nearest] == gallery[own]).all(1)
    return found


def _tabulate(correct: dict[str, AnyArray], found: dict[str, AnyArray]) -> Table:
    rows: list[list[str | float | int]] = [
        [name, round(float(hits.mean()), 3), round(float(found[name].mean()), 3) if name in found else "not searched"]
        for name, hits in correct.items()
    ]
    caption = (
        f"Test pictures as they are and changed: the share read right, and the share whose nearest picture is the "
        f"original, among all training pictures and {len(correct[UNCHANGED])} test pictures."
    )
    return Table("Robustness", caption, ["pictures", "accuracy", "original found"], rows)
