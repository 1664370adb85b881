import pytest
from pydantic import ValidationError

from adloom.serving.api.ads_schemas import AdsRequest

PICTURE = {"picture": "aGk="}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "category: required without picture and picture_id"),
        (PICTURE | {"picture_id": f"sha256:{'0' * 64}"}, "give picture or picture_id, not both"),
        ({"picture_id": "sha256:1"}, "String should match pattern"),
        ({"category": "Bag", "n": 20, "sizes": ["300x250", "728x90", "320x50", "160x600"]}, "at most 60 files"),
        ({"category": "Bag", "n": 21}, "less than or equal to 20"),
        ({"category": "Bag", "sizes": []}, "at least 1 item"),
        ({"category": "Bag", "sizes": ["1x1"]}, "Input should be '300x250'"),
        ({"category": "Bag", "headline": "a\nb"}, "expected a line of text"),
        ({"category": "Bag", "headline": "\ufffe"}, "expected a line of text"),
        ({"category": "Bag", "headline": "x" * 121}, "at most 120 characters"),
        ({"category": "Bag", "brand": {}}, "Extra inputs are not permitted"),
    ],
)
def test_requests_outside_the_limits_are_refused(body: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        AdsRequest.model_validate(body)


def test_a_category_or_a_picture_is_enough() -> None:
    assert AdsRequest.model_validate({"category": "Bag"}).sizes == ["300x250"]
    assert AdsRequest.model_validate(PICTURE | {"n": 1}).category is None
