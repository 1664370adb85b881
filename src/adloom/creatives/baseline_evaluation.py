"""Compare a reader with classical classifiers on pixels, and count contradictory labels."""

import hashlib
from itertools import chain

import numpy as np
import pandas as pd

from adloom.config.params import Evaluate
from adloom.creatives.fit import predict_baselines
from adloom.creatives.inference import PictureReader, read_pictures
from adloom.creatives.table import CreativeTable
from adloom.evaluation import statistics
from adloom.evaluation.intervals import bootstrap
from adloom.evaluation.metric import Evaluation, Sample, Table

TRAINING, TEST = 8000, 2000  # pictures at most
TITLES = {"random_forest": "random forest", "logistic_regression": "logistic regression"}


def evaluate(reader: PictureReader, creatives: CreativeTable, categories: list[str], params: Evaluate) -> Evaluation:
    """Measure the baselines and the reader on the same test pictures."""
    train, test = creatives.find_rows("train", categories), creatives.find_test_rows(categories)
    train, test = (rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64)]
                   for rows, most in ((train, TRAINING), (test, TEST)))  # fmt: skip
    truth, pixels = creatives.number_categories(test, categories), creatives.decode(test)
    labels = creatives.number_categories(train, categories)
    predicted = predict_baselines(creatives.decode(train), labels, pixels, params.seed, params.threads)
    samples = {
        f"{name}_accuracy": Sample((classes == truth,), statistics.mean, "share") for name, classes in predicted.items()
    }
    metrics = {name: bootstrap(sample, params.bootstraps, params.seed) for name, sample in samples.items()}
    probabilities, _ = read_pictures(reader, creatives.decode_batches(test))
    accuracy = float((probabilities.argmax(1) == truth).mean())
    rows: list[list[str | float | int]] = [["reader", round(accuracy, 3), 1.0]]
    for name, title in TITLES.items():
        value = metrics[f"{name}_accuracy"].value
        rows.append([title, round(value, 3), round(accuracy / value, 3) if value else "none right"])
    caption = f"Accuracy on {len(test)} test pictures; the others are fitted to the pixels of {len(train)} pictures."
    table = Table("Comparison", caption, ["classifier", "accuracy", "reader's divided by it"], rows)
    return Evaluation(metrics, samples, [table, count_contradictions(creatives)])


def count_contradictions(creatives: CreativeTable) -> Table:
    """Count the pictures that occur in several categories, by the pair of categories."""
    images = chain.from_iterable(creatives.read_images())
    digests = (int.from_bytes(hashlib.sha256(image).digest()[:8]) for image in images)
    pictures = np.fromiter(digests, np.uint64, len(creatives.rows))
    labels = pd.DataFrame({"picture": pictures, "category": creatives.rows["category"].to_numpy()}).drop_duplicates()
    several = labels[labels["picture"].duplicated(keep=False)].sort_values("category")
    groups = several.groupby("picture")["category"].agg(", ".join).value_counts()
    ordered = sorted(((str(names), int(number)) for names, number in groups.items()), key=lambda row: (-row[1], row[0]))
    caption = "Pictures that are in several categories: at most one of the labels is right."
    rows: list[list[str | float | int]] = [[names, number] for names, number in ordered] or [["none", 0]]
    return Table("Contradictory labels", caption, ["categories", "pictures"], rows)
