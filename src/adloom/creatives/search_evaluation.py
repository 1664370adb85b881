"""Evaluate retrieval, the search for near-duplicates, and the robustness of a reader."""

from dataclasses import dataclass

import numpy as np

from adloom.arrays import AnyArray, BoolArray, Float32Array, Int64Array
from adloom.config.params import Evaluate
from adloom.creatives.fingerprint import Fingerprint
from adloom.creatives.inference import PictureReader, read_pictures
from adloom.creatives.memorization import nearest_embeddings
from adloom.creatives.table import Creatives, CreativeTable
from adloom.creatives.transforms import DISTURBANCES, DUPLICATES
from adloom.creatives.whitening import Whitening
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
    whiten: Whitening
    fingerprint: Fingerprint | None = None  # older models have none


def evaluate(
    reader: PictureReader, creatives: CreativeTable, categories: list[str], known: KnownPictures, params: Evaluate
) -> Evaluation:
    """Read and search for up to PICTURES test pictures, as they are and changed."""
    every = creatives.find_test_rows(categories)
    chosen = np.linspace(0, len(every) - 1, min(len(every), PICTURES)).astype(np.int64)
    rows = every[chosen]
    pictures = Creatives(creatives.decode(rows), creatives.number_categories(rows, categories))
    changed = {
        name: Creatives(transform(pictures.pixels, np.random.default_rng(params.seed)), pictures.category)
        for name, transform in DISTURBANCES.items()
    }
    readings = {
        name: read_pictures(reader, each.split_batches()) for name, each in ({UNCHANGED: pictures} | changed).items()
    }
    correct = {name: probabilities.argmax(1) == pictures.category for name, (probabilities, _) in readings.items()}
    samples, is_found = {}, {}
    if known.fingerprint:
        gallery = np.concatenate([known.fingerprint(batch) for batch in creatives.decode_batches(every)])
        for name in DUPLICATES:
            is_found[name] = _find_originals(known.fingerprint(changed[name].pixels), gallery, chosen)
        samples["near_duplicates"] = Sample((np.concatenate([*is_found.values()]),), statistics.mean, "share")
    if len(known.category):
        nearest, _ = nearest_embeddings(known.whiten(readings[UNCHANGED][1]), known.whiten(known.embedding))
        samples["recall_at_1"] = Sample((known.category[nearest] == pictures.category,), statistics.mean, "share")
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    return Evaluation(metrics, samples, [_tabulate(correct, is_found, len(every))])


def _find_originals(fingerprints: Float32Array, gallery: Float32Array, own: Int64Array) -> BoolArray:
    """Return whether the nearest picture of each changed one is its original, `own`, or a picture equal to it."""
    nearest, _ = nearest_embeddings(fingerprints, gallery)
    is_found: BoolArray = (nearest == own) | (gallery[nearest] == gallery[own]).all(1)
    return is_found


def _tabulate(correct: dict[str, AnyArray], is_found: dict[str, AnyArray], gallery: int) -> Table:
    rows: list[list[str | float | int]] = [
        [
            name,
            round(float(hits.mean()), 3),
            round(float(is_found[name].mean()), 3) if name in is_found else "not searched",
        ]
        for name, hits in correct.items()
    ]
    caption = (
        f"{len(correct[UNCHANGED])} test pictures as they are and changed: the share read right, and the share whose "
        f"nearest fingerprint among all {gallery} test pictures is the original's."
    )
    return Table("Robustness", caption, ["pictures", "accuracy", "original found"], rows)
