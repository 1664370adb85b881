"""Schemas: strict fields, rules between fields, and one type for the origin of an answer."""

import msgspec
import pytest
from pydantic import ValidationError

from adloom.serving.api.decide_schemas import DecideAnswer, ModelOrigin
from adloom.serving.api.schemas import CopyRequest, SegmentAnswer, SegmentRequest


@pytest.mark.parametrize("body", ["{}", '{"users": ["1"], "rows": []}', '{"users": []}', '{"users": [1]}'])
def test_a_segment_request_has_users_or_rows(body: str) -> None:
    with pytest.raises(ValidationError):
        SegmentRequest.model_validate_json(body)


def test_a_prompt_fits_into_a_line() -> None:
    assert CopyRequest.model_validate({"prompt": "a" * 60}).prompt == "a" * 60
    with pytest.raises(ValidationError, match="prompt has 61 characters"):
        CopyRequest.model_validate({"prompt": "a" * 61})


def test_the_origin_is_the_same_in_all_answers() -> None:
    origin = ModelOrigin("audience", 3, "abc")
    by_pydantic = msgspec.json.decode(SegmentAnswer(model=origin, items=[]).model_dump_json())["model"]
    answer = DecideAnswer(
        decision_id="0",
        creatives=[],
        tier="model",
        segment=None,
        segment_reason="unseen",
        policy=None,
        audience=origin,
        elapsed_ms=0.1,
    )
    by_msgspec = msgspec.json.decode(msgspec.json.encode(answer))["audience"]
    assert by_pydantic == by_msgspec == {"name": "audience", "version": 3, "digest": "abc"}
