"""The client: answers, problems, and an example request to each served model."""

from collections.abc import Iterator

import pytest
from tests.support.uvicorn_server import running

from adloom.errors import ExternalServiceError
from adloom.serving import app, client
from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys


@pytest.fixture(scope="module")
def url(models: Models) -> Iterator[str]:
    application = app.create_decide_app(models, app.ServiceDependencies(PseudonymKeys(None)))
    with running(application) as port:
        yield f"http://127.0.0.1:{port}"


def test_a_get_and_a_post(url: str) -> None:
    assert client.ask(f"{url}/readyz")["ready"] is True
    answer = client.ask(url + DECIDE, {"placement": "side", "candidates": ["creative-0"]})
    assert [chosen["creative_id"] for chosen in answer["creatives"]] == ["creative-0"]


def test_a_problem_is_an_error_with_status_and_detail(url: str) -> None:
    with pytest.raises(ExternalServiceError, match=r"/v1/decide: 422 placement: "):
        client.ask(url + DECIDE, {"placement": 1, "candidates": ["creative-0"]})


def test_a_closed_port_is_an_error_with_the_next_step() -> None:
    with pytest.raises(ExternalServiceError, match=r"127\.0\.0\.1:9/readyz: .*is the service running\?"):
        client.ask("http://127.0.0.1:9/readyz")


@pytest.mark.parametrize(
    ("function", "words"),
    [(client.request_segment, "segment-"), (client.request_decision, "with probability")],
)
def test_examples(url: str, function: object, words: str) -> None:
    assert callable(function)
    assert words in function(url, [])
