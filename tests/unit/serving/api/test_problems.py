"""Problems: the bodies of errors."""

import json
from http import HTTPStatus

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from adloom.serving.api.problems import MEDIA_TYPE, Problem, from_validation, unavailable


class Inner(BaseModel):
    n: int


class Body(BaseModel):
    model_config = ConfigDict(strict=True)

    items: list[Inner]
    name: str


def validate(body: str) -> Problem:
    with pytest.raises(ValidationError) as raised:
        Body.model_validate_json(body)
    return from_validation(raised.value)


def test_the_response_is_problem_json_with_the_headers() -> None:
    problem = Problem(HTTPStatus.TOO_MANY_REQUESTS, "wait", headers={"Retry-After": "1"})
    response = problem.response()
    assert (response.status_code, response.media_type, response.headers["retry-after"]) == (429, MEDIA_TYPE, "1")
    assert json.loads(bytes(response.body)) == {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "wait",
    }


@pytest.mark.parametrize(
    ("body", "status", "field", "words"),
    [
        ("{", 400, None, "not JSON"),
        ("[]", 422, None, "body"),
        ('{"items": [{"n": 1}, {"n": "x"}], "name": "a"}', 422, "items.1.n", "valid integer"),
        ('{"items": [], "name": 3}', 422, "name", "valid string"),
        ("{}", 422, "items", "(and 1 more)"),
    ],
)
def test_the_first_validation_error_is_named(body: str, status: int, field: str | None, words: str) -> None:
    problem = validate(body)
    assert (problem.status, problem.field) == (status, field)
    assert words in problem.detail


def test_an_absent_model_is_tried_again_later() -> None:
    problem = unavailable("gan", "no champion")
    assert (problem.status, problem.headers["Retry-After"]) == (503, "60")
    assert {"gan", "no champion"} <= set(problem.detail.replace("model ", "").split(" is not served: "))
