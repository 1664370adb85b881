"""Reading many requests at once: each gets the answer it would get alone."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.support.tiny_models import EDGE

from adloom.arrays import Float32Array
from adloom.creatives.pictures import encode_pngs
from adloom.creatives.whitening import Whitening
from adloom.errors import ArtifactError
from adloom.onnx_models.runtime import ReaderOutput
from adloom.serving.api.schemas import ReadAnswer, ReadRequest
from adloom.serving.creatives import classify
from adloom.serving.models.loader import Models


def picture(shade: int) -> str:
    return base64.b64encode(encode_pngs(np.full((1, 1, EDGE, EDGE), shade, np.uint8))[0]).decode()


DARK, MARKED, LIGHT = picture(0), picture(100), picture(255)


def request(*pictures: str, nearest: int = 1) -> ReadRequest:
    return ReadRequest(pictures=list(pictures), nearest=nearest)


def read(requests: Sequence[ReadRequest], models: Models) -> list[bytes]:
    jobs = [classify.prepare(request, models) for request in requests]
    return [classify.finish(job, readings) for job, readings in zip(jobs, classify.run(jobs), strict=True)]


def with_reader(models: Models, change: Callable[[Float32Array, ReaderOutput], ReaderOutput]) -> Models:
    """Return models with a picture reader that changes its output."""
    cnn = models.cnn

    def run(batch: Float32Array) -> ReaderOutput:
        return change(batch, cnn.model.read(batch))

    return Models({"cnn": replace(cnn, model=replace(cnn.model, read=run))}, {})  # type: ignore[arg-type]


def is_marked(batch: Float32Array) -> Any:
    return np.isclose(batch[:, 0, 0, 0], 100 / 127.5 - 1)


def test_requests_together_get_the_answers_they_get_alone(models: Models) -> None:
    requests = [
        request(DARK),
        request("no picture", LIGHT, "!", nearest=0),
        request("!"),
        request(LIGHT, DARK, nearest=3),
    ]
    answers = read(requests, models)
    assert answers == [read([one], models)[0] for one in requests]
    parsed = [ReadAnswer.model_validate_json(answer) for answer in answers]
    assert [[getattr(item, "category", "error") for item in answer.items] for answer in parsed] == [
        ["Bag"],
        ["error", "Coat", "error"],
        ["error"],
        ["Coat", "Bag"],
    ]
    assert [len(getattr(answer.items[-1], "nearest", [])) for answer in parsed] == [1, 0, 0, 3]


def test_neighbours_are_those_of_the_whitened_embedding(models: Models) -> None:
    dimensions = models.cnn.model.known.embedding.shape[1]
    turned = Whitening(np.zeros(dimensions, np.float32), -np.eye(dimensions, dtype=np.float32))
    model = replace(models.cnn.model, whiten=turned)
    (answer,) = read([request(DARK)], Models({"cnn": replace(models.cnn, model=model)}, {}))
    (item,) = ReadAnswer.model_validate_json(answer).items
    (neighbour,) = item.nearest  # type: ignore[union-attr]
    assert neighbour.creative_id == f"creative-{np.argmin(item.embedding)}"  # type: ignore[union-attr]


def test_all_pictures_are_one_run(models: Models) -> None:
    sizes = []

    def count(batch: Float32Array, reading: ReaderOutput) -> ReaderOutput:
        sizes.append(len(batch))
        return reading

    read([request(DARK), request("!"), request(LIGHT, DARK)], with_reader(models, count))
    assert sizes == [3]


def test_output_that_is_not_finite_is_an_error(models: Models) -> None:
    def spoil(batch: Float32Array, reading: ReaderOutput) -> ReaderOutput:
        return ReaderOutput(reading.probabilities, np.where(is_marked(batch)[:, None], np.nan, reading.embedding))

    broken = with_reader(models, spoil)
    assert read([request(DARK)], broken) == read([request(DARK)], models)
    with pytest.raises(ArtifactError, match="not finite"):
        read([request(MARKED)], broken)
