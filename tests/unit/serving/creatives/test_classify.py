"""Reading many requests at once: each gets the answer it would get alone."""

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.support.tiny_models import EDGE

from adloom.arrays import Float32Array
from adloom.creatives.pictures import encode_pngs
from adloom.data import pictures
from adloom.errors import ArtifactError, UnavailableError
from adloom.onnx_models.runtime import ReaderOutput
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import ReadAnswer, ReadRequest
from adloom.serving.creatives import classify
from adloom.serving.models.loader import Models, PictureReader


def picture(shade: int) -> str:
    return base64.b64encode(encode_pngs(np.full((1, 1, EDGE, EDGE), shade, np.uint8))[0]).decode()


DARK, MARKED, LIGHT = picture(0), picture(100), picture(255)


def request(*pictures: str, nearest: int = 1) -> ReadRequest:
    return ReadRequest(pictures=list(pictures), nearest=nearest)


def with_reader(models: Models, change: Callable[[Float32Array, ReaderOutput], ReaderOutput]) -> Models:
    """Return models with a picture reader that changes its output."""
    cnn = models.cnn

    def read(batch: Float32Array) -> ReaderOutput:
        return change(batch, cnn.model.read(batch))

    return Models({"cnn": replace(cnn, model=PictureReader(read, cnn.model.known))}, {})  # type: ignore[arg-type]


def is_marked(batch: Float32Array) -> Any:
    return np.isclose(batch[:, 0, 0, 0], 100 / 127.5 - 1)


def test_requests_together_get_the_answers_they_get_alone(models: Models) -> None:
    requests = [
        request(DARK),
        request("no picture", LIGHT, "!", nearest=0),
        request("!"),
        request(LIGHT, DARK, nearest=3),
    ]
    answers = classify.read(requests, models)
    assert answers == [classify.read([one], models)[0] for one in requests]
    read = [ReadAnswer.model_validate_json(answer) for answer in answers if isinstance(answer, bytes)]
    assert [[getattr(item, "category", "error") for item in answer.items] for answer in read] == [
        ["Bag"],
        ["error", "Coat", "error"],
        ["error"],
        ["Coat", "Bag"],
    ]
    assert [len(getattr(answer.items[-1], "nearest", [])) for answer in read] == [1, 0, 0, 3]


def test_all_pictures_are_one_run(models: Models) -> None:
    sizes = []

    def count(batch: Float32Array, reading: ReaderOutput) -> ReaderOutput:
        sizes.append(len(batch))
        return reading

    classify.read([request(DARK), request("!"), request(LIGHT, DARK)], with_reader(models, count))
    assert sizes == [3]


@pytest.mark.parametrize("error", [RuntimeError("ONNX Runtime"), UnavailableError("stopped after 10 s")])
def test_a_picture_that_makes_the_model_fail_harms_only_its_request(models: Models, error: Exception) -> None:
    def fail(batch: Float32Array, reading: ReaderOutput) -> ReaderOutput:
        if is_marked(batch).any():
            raise error
        return reading

    answers = classify.read([request(DARK), request(LIGHT, MARKED), request(LIGHT)], with_reader(models, fail))
    assert answers[1] is error
    assert answers[::2] == classify.read([request(DARK), request(LIGHT)], models)


def test_output_that_is_not_finite_harms_only_its_request(models: Models) -> None:
    def spoil(batch: Float32Array, reading: ReaderOutput) -> ReaderOutput:
        return ReaderOutput(reading.probabilities, np.where(is_marked(batch)[:, None], np.nan, reading.embedding))

    answers = classify.read([request(MARKED), request(DARK)], with_reader(models, spoil))
    assert isinstance(answers[0], ArtifactError)
    assert answers[1:] == classify.read([request(DARK)], models)


def test_a_decoder_that_fails_harms_only_its_request(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = pictures.decode

    def fail(image: object, *arguments: Any) -> Any:
        pixels = decode(image, *arguments)
        if pixels[0, 0, 0] == 100:
            raise MemoryError
        return pixels

    monkeypatch.setattr(pictures, "decode", fail)
    failed, answer = classify.read([request(MARKED), request(DARK)], models)
    assert isinstance(failed, MemoryError)
    assert [answer] == classify.read([request(DARK)], models)


def test_without_the_model_each_request_gets_the_reason() -> None:
    answers = classify.read([request(DARK)] * 2, Models({}, {"cnn": "skipped"}))
    assert [(type(answer), answer.status) for answer in answers if isinstance(answer, Problem)] == [(Problem, 503)] * 2
