"""Every endpoint of the creatives service has an answer."""

from adloom.serving.api.endpoints import ENDPOINTS
from adloom.serving.app import DECIDE_ENDPOINTS
from adloom.serving.creatives.answers import ANSWERS, BATCHED_ANSWERS


def test_every_endpoint_that_creates_has_an_answer() -> None:
    assert not ANSWERS.keys() & BATCHED_ANSWERS.keys()
    assert ANSWERS.keys() | BATCHED_ANSWERS.keys() == ENDPOINTS.keys() - DECIDE_ENDPOINTS.keys()
