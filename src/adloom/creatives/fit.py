"""Classical classifiers on pixels, to compare a reader with."""

from collections.abc import Mapping

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier

from adloom.arrays import AnyArray, Float32Array, UInt8Array

TREES = 50
EPOCHS = 5  # of the logistic regression
MAX_EDGE = 32  # pixels; larger pictures are averaged down


def predict_baselines(
    pixels: UInt8Array, category: AnyArray, test: UInt8Array, seed: int, threads: int
) -> Mapping[str, AnyArray]:
    """Return the categories that a random forest and a logistic regression see in test pictures, for any threads."""
    train, queries = _to_rows(pixels), _to_rows(test)
    classifiers = {
        "random_forest": RandomForestClassifier(TREES, random_state=seed, n_jobs=threads),
        "logistic_regression": SGDClassifier("log_loss", average=True, max_iter=EPOCHS, tol=None, random_state=seed),
    }
    mean = train.mean(0)
    train, queries = train - mean, queries - mean
    return {name: classifier.fit(train, category).predict(queries) for name, classifier in classifiers.items()}


def _to_rows(pixels: UInt8Array) -> Float32Array:
    number, channels, height, width = pixels.shape
    factor = -(-height // MAX_EDGE)
    blocks = pixels.reshape(number, channels, height // factor, factor, width // factor, factor)
    rows: Float32Array = blocks.mean((3, 5), dtype=np.float32).reshape(number, -1) / np.float32(255)
    return rows
