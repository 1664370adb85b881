"""Concurrent requests, some of them bad, to one service: every good one gets the answer that it gets alone."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.types import ASGIApp
from tests.support.http_client import drop_signatures, encode, png
from tests.support.tiny_models import CATEGORIES, EDGE, write_models

from adloom.arrays import Float32Array
from adloom.onnx_models.runtime import ReaderOutput
from adloom.serving import server
from adloom.serving.api.schemas import GENERATE, READ, WRITE
from adloom.serving.app import ServiceDependencies
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

GOOD = 60
MARK = 100  # a grey level that the spoilt models cannot take
TRUNCATED = encode(png(np.zeros((EDGE, EDGE), np.uint8))[:50])
Request = tuple[str, Any]  # path, body


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = write_models(tmp_path_factory.mktemp("models"))
    return loader.load(sources.find_in_folder(folder), threads=1)


def spoil(models: Models) -> Models:
    """Return models that fail for a picture with a marked pixel, and for the category in the middle."""

    def read(batch: Float32Array) -> ReaderOutput:
        if np.isclose(batch[:, 0, 0, 0], MARK / 127.5 - 1).any():
            raise RuntimeError("a marked picture")
        return models.cnn.model.read(batch)

    class Generator:
        latent = models.gan.model.latent

        def __call__(self, z: Float32Array, condition: Float32Array) -> Float32Array:
            pictures = models.gan.model(z, condition)
            pictures[condition[:, 1] == 1] = np.nan
            return pictures

    reader: Any = read
    gan: Any = Generator()
    cnn = replace(models.cnn, model=replace(models.cnn.model, read=reader))
    return Models({**models.loaded, "cnn": cnn, "gan": replace(models.gan, model=gan)}, {})


def picture(shade: int) -> str:
    return encode(png(np.full((EDGE, EDGE), shade, np.uint8)))


def good(number: int) -> Request:
    bodies = {
        READ: {"pictures": [picture(number % 3 * 80)], "nearest": number % 4},
        GENERATE: {"category": CATEGORIES[number % 2 * 2], "n": number % 3 + 1, "seed": number},
        WRITE: {"n": number % 3 + 1, "seed": number, "prompt": "Lovely" if number % 2 else ""},
    }
    path = list(bodies)[number % 3]
    return path, bodies[path]


BAD: list[tuple[Request, int]] = [
    ((READ, {"pictures": [picture(0)] * 17}), 422),
    ((GENERATE, b'{"category": "Bag", "n": NaN}'), 422),
    ((READ, {"pictures": [TRUNCATED]}), 200),  # its only item has the status 422
    ((READ, {"pictures": [picture(MARK)]}), 500),
    ((GENERATE, {"category": CATEGORIES[1], "n": 2}), 500),
]


async def ask(app: ASGIApp, requests: list[Request]) -> list[httpx.Response]:
    """Send all requests at once."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    json = {"Content-Type": "application/json"}
    async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client:
        sent = [
            client.post(path, content=body, headers=json) if isinstance(body, bytes) else client.post(path, json=body)
            for path, body in requests
        ]
        return await asyncio.gather(*sent)


def metric(metrics: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in metrics.splitlines() if line.startswith(name))


def test_five_bad_requests_harm_none_of_sixty_good_ones(models: Models) -> None:
    app = server.create_named_app("creatives", spoil(models), ServiceDependencies(PseudonymKeys(None)))
    good_requests = [good(number) for number in range(GOOD)]
    requests = [*good_requests[:30], *(request for request, _ in BAD), *good_requests[30:]]
    answers = asyncio.run(ask(app, requests))
    alone = server.create_named_app("creatives", models, ServiceDependencies(PseudonymKeys(None)))
    bad = answers[30:35]
    assert [answer.status_code for answer in bad] == [status for _, status in BAD]
    assert bad[2].json()["items"][0]["error"]["status"] == 422
    for request, answer in zip(good_requests, answers[:30] + answers[35:], strict=True):
        assert answer.status_code == 200
        assert drop_signatures(answer.json()) == drop_signatures(asyncio.run(ask(alone, [request]))[0].json())
    metrics = asyncio.run(get_metrics(app))
    assert metric(metrics, "adloom_poisoned_items_total") == 2
    assert metric(metrics, "adloom_batch_size_sum") > 2 * metric(metrics, "adloom_batch_size_count")


async def get_metrics(app: ASGIApp) -> str:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        return (await client.get("/metrics")).text
