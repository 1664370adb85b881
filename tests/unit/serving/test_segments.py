"""The segment endpoint: users by id and by features."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.support.http_client import post_invalid, post_ok
from tests.support.tiny_models import write_audience

from adloom.audience.segmenter import FEATURES
from adloom.data.privacy import PUBLISHED_KEY, key_fingerprint
from adloom.serving import app as decide_app
from adloom.serving.api.schemas import SEGMENT
from adloom.serving.models import loader
from adloom.serving.models.sources import ModelArtifact
from adloom.serving.segments import PseudonymKeys

KNOWN = [{"segment": f"segment-{i}", "reason": None} for i in (1, 2)]
DEPENDENCIES = decide_app.ServiceDependencies(PseudonymKeys(None))


class TestSegment:
    ROW = dict.fromkeys(FEATURES, 1.0)

    def test_known_users_and_a_stranger(self, client: TestClient) -> None:
        items = post_ok(client, SEGMENT, {"users": ["1", "3", "nobody"]})["items"]
        assert items == [*KNOWN, {"segment": None, "reason": "unseen"}]

    def test_a_user_in_another_spelling(self, client: TestClient) -> None:
        items = post_ok(client, SEGMENT, {"users": [" 1", "1.0", "\ufeff3"]})["items"]
        assert items == [KNOWN[0], *KNOWN]

    def test_rows(self, client: TestClient) -> None:
        rows = [{**self.ROW, "recency_days": 0}, {**self.ROW, "recency_days": 300, "interpurchase_days": None}]
        items = post_ok(client, SEGMENT, {"rows": rows})["items"]
        assert items == KNOWN

    def test_an_impossible_feature_and_a_row_without_features_have_a_reason(self, client: TestClient) -> None:
        rows = [self.ROW, {**self.ROW, "monetary": -2, "tenure_days": None}, dict.fromkeys(FEATURES)]
        items = post_ok(client, SEGMENT, {"rows": rows})["items"]
        assert items == [
            KNOWN[0],
            {"segment": "segment-1", "reason": "monetary invalid, tenure_days missing"},
            {"segment": None, "reason": "unseen"},
        ]

    @pytest.mark.parametrize(
        ("body", "field", "said"),
        [
            ({}, None, "exactly one of users and rows"),
            ({"users": ["1"], "rows": [ROW]}, None, "exactly one of users and rows"),
            ({"users": []}, "users", "at least 1 item"),
            ({"users": ["1"] * 1001}, "users", "at most 1000 items"),
            ({"users": [1]}, "users.0", "valid string"),
            ({"users": ["1", " \ufeff"]}, "users.1", "a blank user id"),
            ({"users": ["1" * 201]}, "users.0", "at most 200 characters"),
            ({"rows": [{"recency_days": 1}]}, "rows.0.frequency", "required"),
            ({"rows": [{**ROW, "age": 3}]}, "rows.0.age", "not permitted"),
        ],
    )
    def test_bad_fields_are_named(self, client: TestClient, body: object, field: str | None, said: str) -> None:
        problem = post_invalid(client, SEGMENT, body, 422)
        assert problem.get("field") == field
        assert said in problem["detail"]

    def test_not_a_number_is_not_json(self, client: TestClient) -> None:
        body = json.dumps({"rows": [{**self.ROW, "monetary": float("nan")}]}).encode()
        assert post_invalid(client, SEGMENT, body, 422)["field"] == "rows.0.monetary"

    def test_users_under_a_private_key(self, tmp_path: Any) -> None:
        private = b"a private key of the shop"
        write_audience(tmp_path / "audience", private)
        models = loader.load({"audience": ModelArtifact(tmp_path / "audience", None)}, 1)
        with_key = TestClient(
            decide_app.create_decide_app(models, decide_app.ServiceDependencies(PseudonymKeys(private)))
        )
        assert post_ok(with_key, SEGMENT, {"users": ["4"]})["items"] == [KNOWN[1]]
        without = TestClient(
            decide_app.create_decide_app(
                models, decide_app.ServiceDependencies(PseudonymKeys(b"another key of the shop"))
            )
        )
        problem = post_invalid(without, SEGMENT, {"users": ["4"]}, 503)
        assert key_fingerprint(private) in problem["detail"]
        assert "set ADLOOM_PSEUDONYM_KEY" in problem["detail"]
        assert private.decode() not in problem["detail"]
        assert post_ok(without, SEGMENT, {"rows": [self.ROW]})["items"] == [KNOWN[0]]


def test_the_published_key_is_used_without_a_key(client: TestClient) -> None:
    assert PseudonymKeys(None).find(key_fingerprint(PUBLISHED_KEY), "audience") == PUBLISHED_KEY
