"""What a reader finds: by a reader that sees the mean of each quarter, in every orientation."""

import numpy as np
import pandas as pd
import pytest
from tests.support.painted_pictures import as_table

from adloom.arrays import Float32Array
from adloom.config.params import Evaluate
from adloom.creatives import pictures, search_evaluation
from adloom.creatives.fingerprint import fit_fingerprint
from adloom.creatives.search_evaluation import KnownPictures
from adloom.creatives.table import CreativeTable
from adloom.creatives.whitening import Whitening
from adloom.evaluation.metric import Table

PARAMS = Evaluate(bootstraps=20, threads=1)
CATEGORIES = ["dark", "light"]
UNWHITENED = Whitening(np.zeros(16, np.float32), np.eye(16, dtype=np.float32))


class Reading:
    def __init__(self, picture: Float32Array) -> None:
        light = ((picture.mean((1, 2, 3)) + 1) / 2)[:, None]
        self.probabilities = np.concatenate([1 - light, light], 1)
        parts = picture.reshape(len(picture), 4, 7, 4, 7).mean((2, 4)).reshape(len(picture), -1)
        self.embedding = parts / np.linalg.norm(parts, axis=1, keepdims=True)


def table() -> CreativeTable:
    """Ten dark and ten light pictures, each with a pattern of its own."""
    random = np.random.default_rng(0)
    blocks = random.integers(0, 80, (20, 1, 4, 4)) + np.where(np.arange(20) % 2, 170, 0)[:, None, None, None]
    pixels = blocks.astype(np.uint8).repeat(7, 2).repeat(7, 3)
    rows = {"category": CATEGORIES * 10, "split": "test", "image": pictures.encode_pngs(pixels)}
    return as_table(pd.DataFrame({**rows, "width": 28, "height": 28, "channels": 1}))


def evaluate(known: KnownPictures) -> tuple[dict[str, float], Table]:
    evaluation = search_evaluation.evaluate(Reading, table(), CATEGORIES, known, PARAMS)
    assert set(evaluation.samples) == set(evaluation.metrics)
    [section] = evaluation.sections
    assert isinstance(section, Table)
    return {name: metric.value for name, metric in evaluation.metrics.items()}, section


@pytest.mark.slow
def test_changed_pictures_are_found_by_their_fingerprints() -> None:
    drawn = table().decode(np.arange(20))
    embedding = Reading(pictures.to_floats(drawn)).embedding[::-1].copy()  # the wrong picture's category for all
    values, section = evaluate(KnownPictures(np.arange(20) % 2, embedding, UNWHITENED, fit_fingerprint(drawn, seed=7)))
    assert values == {"recall_at_1": 0, "near_duplicates": 1}
    found = {str(row[0]): row[2] for row in section.rows}
    assert found.pop("unchanged") == "not searched"
    assert found["half as bright"] == found["blurred"] == "not searched"
    assert {found[name] for name in ("mirrored", "90 % crop", "JPEG 50", "10 % noise")} == {1}


@pytest.mark.slow
def test_a_model_without_fingerprint_is_measured_by_the_rest() -> None:
    embedding = Reading(pictures.to_floats(table().decode(np.arange(20)))).embedding
    values, _ = evaluate(KnownPictures(np.arange(20) % 2, embedding, UNWHITENED))
    assert values == {"recall_at_1": 1}


@pytest.mark.slow
def test_similar_pictures_are_searched_whitened() -> None:
    """All directions are positive in light pictures and negative in dark ones; the map keeps the smaller of two."""
    known = np.pad(np.array([[0.1, -1], [-0.1, 1]], np.float32), [(0, 0), (0, 14)])
    first = Whitening(np.zeros(16, np.float32), np.diag([1.0, *[0.0] * 15]).astype(np.float32))
    light_and_dark = np.array([1, 0])
    assert evaluate(KnownPictures(light_and_dark, known, UNWHITENED))[0] == {"recall_at_1": 0}
    assert evaluate(KnownPictures(light_and_dark, known, first))[0] == {"recall_at_1": 1}


@pytest.mark.slow
def test_half_the_brightness_turns_light_pictures_dark() -> None:
    _, section = evaluate(KnownPictures(np.zeros(0, np.int64), np.zeros((0, 16), np.float32), UNWHITENED))
    accuracy = {str(row[0]): row[1] for row in section.rows}
    assert accuracy["unchanged"] == accuracy["mirrored"] == 1
    assert accuracy["half as bright"] == 0.5
