"""Requests for recommendations, and their limits."""

from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.support.http_client import post_invalid

from adloom.serving.api.recommend_schemas import MAX_RECENT, RECOMMEND


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, None, "give user_id, recent, or both"),
        ({"user_id": " \ufeff"}, "user_id", "a blank user id"),
        ({"recent": ["item-a"] * (MAX_RECENT + 1)}, "recent", "at most 500 items"),
        ({"recent": [7]}, "recent.0", "valid string"),
        ({"recent": [], "n": 0}, "n", "greater than or equal to 1"),
        ({"recent": [], "n": 101}, "n", "less than or equal to 100"),
        ({"recent": [], "tmax_ms": 0}, "tmax_ms", "greater than or equal to 1"),
        ({"recent": [], "items": 3}, "items", "not permitted"),
    ],
)
def test_bad_fields_are_named(client: TestClient, body: dict[str, Any], field: str | None, said: str) -> None:
    problem = post_invalid(client, RECOMMEND, body, 422)
    assert problem.get("field") == field
    assert said in problem["detail"]
