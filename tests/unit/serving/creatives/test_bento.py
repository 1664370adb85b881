"""What the client gets when a model fails while it serves."""

from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from adloom.errors import UnavailableError
from adloom.serving import server
from adloom.serving.api.schemas import GENERATE, READ
from adloom.serving.app import ServiceDependencies
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

GREY = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="  # a PNG
REQUESTS: dict[str, dict[str, Any]] = {GENERATE: {"category": "Bag"}, READ: {"pictures": [GREY]}}


def with_models(models: Models, run: Any) -> Models:
    """Return models that draw and read with a function."""

    class Generator:
        latent = models.gan.model.latent

        def __call__(self, *inputs: Any) -> Any:
            return run(*inputs)

    generator: Any = Generator()
    gan = replace(models.gan, model=generator)
    cnn = replace(models.cnn, model=replace(models.cnn.model, read=run))
    return Models({"gan": gan, "cnn": cnn}, {})


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize(("error", "status"), [(UnavailableError("stopped after 10 s"), 503), (RuntimeError(), 500)])
def test_the_client_is_told_that_a_model_failed(models: Models, path: str, error: Exception, status: int) -> None:
    def fail(*inputs: Any) -> Any:
        raise error

    app = server.create_named_app("creatives", with_models(models, fail), ServiceDependencies(PseudonymKeys(None)))
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.post(path, json=REQUESTS[path])
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert ("stopped after 10 s" in response.json()["detail"]) == (status == 503)
