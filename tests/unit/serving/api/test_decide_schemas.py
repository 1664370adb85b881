"""Requests to the decision endpoint: invalid fields are named, and random bodies are answered or refused."""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.support.tiny_models import USERS

from adloom.decision_log.record import Decision, decode, encode
from adloom.decision_log.verify import check_decision
from adloom.serving import app
from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK, MAX_BYTES
from adloom.serving.app import ServiceDependencies
from adloom.serving.decide.service import MemoryLog
from adloom.serving.models import loader, sources
from adloom.serving.segments import PseudonymKeys

PROBLEM = "application/problem+json"
JSON = {"Content-Type": "application/json"}
ASKED: dict[str, Any] = {"placement": "side", "candidates": ["creative-0", "new"]}
TOLD: dict[str, Any] = {"decision_id": "0" * 32, "creative_id": "creative-0", "kind": "click"}
BASES = {DECIDE: ASKED, FEEDBACK: TOLD}


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture(scope="module")
def client(folder: Path, log: MemoryLog) -> Iterator[TestClient]:
    models = loader.load(sources.find_in_folder(folder, ["audience", "policy"]), threads=1)
    with TestClient(
        app.create_decide_app(models, ServiceDependencies(PseudonymKeys(None), log=log)), raise_server_exceptions=False
    ) as client:
        yield client


def refused(
    client: TestClient, path: str, body: bytes | Iterable[bytes], status: int, **headers: str
) -> dict[str, Any]:
    response = client.post(path, content=body, headers={**JSON, **headers})
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.text
    assert len(response.content) < 1000  # what was sent does not come back
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    return problem


class TestFields:
    @pytest.mark.parametrize(
        ("changed", "field", "said"),
        [
            ({"colour": 1}, "colour", "unknown field"),
            ({"candidates": ["c"] * 1001}, "candidates", "length <= 1000"),
            ({"candidates": []}, "candidates", "length >= 1"),
            ({"candidates": "c"}, "candidates", "got `str`"),
            ({"candidates": ["c", 1]}, "candidates.1", "got `int`"),
            ({"candidates": ["c", {"id": "d"}]}, "candidates.1", "got `object`"),
            ({"candidates": ["x" * 201]}, "candidates.0", "length <= 200"),
            ({"candidates": [""]}, "candidates.0", "length >= 1"),
            ({"candidates": None}, None, "exactly one of candidates and category"),
            ({"category": "Bag"}, None, "exactly one of candidates and category"),
            ({"candidates": None, "category": "Hat"}, "category", "no creative of 'Hat'"),
            ({"placement": None}, "placement", "got `null`"),
            ({"placement": "x" * 201}, "placement", "length <= 200"),
            ({"n": 0}, "n", ">= 1"),
            ({"n": 65}, "n", "<= 64"),
            ({"n": 10**30}, "n", "64"),
            ({"n": 1.5}, "n", "got `float`"),
            ({"n": True}, "n", "got `bool`"),
            ({"n": "1"}, "n", "got `str`"),
            ({"tmax_ms": 0}, "tmax_ms", ">= 1"),
            ({"tmax_ms": 60_001}, "tmax_ms", "<= 60000"),
            ({"position": -1}, "position", ">= 0"),
            ({"user_id": "1", "segment": "segment-1"}, "segment", "not both"),
            ({"user_id": 1}, "user_id", "got `int`"),
            ({"context": {"": "x"}}, "context", "length >= 1"),
            ({"context": {"x" * 65: "x"}}, "context", "length <= 64"),
            ({"context": {str(i): 1 for i in range(65)}}, "context", "length <= 64"),
            ({"context": {"device": {"a": 1}}}, "context", "got `object`"),
            ({"caps": {"c": -1}}, "caps", ">= 0"),
            ({"categories": {"c": ""}}, "categories", "length >= 1"),
        ],
    )
    def test_of_a_decision(self, client: TestClient, changed: object, field: str | None, said: str) -> None:
        assert isinstance(changed, dict)
        problem = refused(client, DECIDE, json.dumps({**ASKED, **changed}).encode(), 422)
        assert problem.get("field") == field
        assert said in problem["detail"]

    @pytest.mark.parametrize(
        ("changed", "field", "said"),
        [
            ({"colour": 1}, "colour", "unknown field"),
            ({"decision_id": "F" * 32}, "decision_id", "matching regex"),
            ({"decision_id": "0" * 32 + "\n"}, "decision_id", "length <= 32"),
            ({"creative_id": ""}, "creative_id", "length >= 1"),
            ({"kind": "view"}, "kind", "'view'"),
            ({"value": -1}, "value", ">= 0"),
            ({"value": 1e300}, "value", "<= 1000000000000000"),  # the log could not be read back
            ({"value": "1"}, "value", "got `str`"),
            ({"value": 10**400}, "value", "out of range"),
            ({"feedback_id": "x" * 201}, "feedback_id", "length <= 200"),
        ],
    )
    def test_of_feedback(self, client: TestClient, changed: object, field: str, said: str) -> None:
        assert isinstance(changed, dict)
        problem = refused(client, FEEDBACK, json.dumps({**TOLD, **changed}).encode(), 422)
        assert problem["field"] == field
        assert said in problem["detail"]

    @pytest.mark.parametrize(("path", "field"), [(DECIDE, "placement"), (FEEDBACK, "decision_id")])
    def test_a_missing_one(self, client: TestClient, path: str, field: str) -> None:
        assert refused(client, path, b"{}", 422)["field"] == field


@pytest.mark.parametrize("path", BASES)
class TestBodies:
    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400),
            (b"{", 400),
            (b"\xff\xfe", 400),
            (b"null", 422),
            (b"[]", 422),
            (b"[" * 100_000, 422),
            (b'{"context": ' * 20_000, 422),
            (b'{"candidates": ' + b"[" * 100_000, 422),
        ],
    )
    def test_not_what_is_expected(self, client: TestClient, path: str, body: bytes, status: int) -> None:
        refused(client, path, body, status)

    @pytest.mark.parametrize("value", [b"NaN", b"-Infinity", b'"\\ud800"', b'"\x00"', b"1e", b"'1'", b'"'])
    def test_a_value_that_is_not_json(self, client: TestClient, path: str, value: bytes) -> None:
        field = next(iter(BASES[path])).encode()
        assert "not JSON" in refused(client, path, b'{"%s": %s}' % (field, value), 400)["detail"]

    def test_huge_ones_announced_or_not(self, client: TestClient, path: str) -> None:
        body = json.dumps(BASES[path]).encode() + b" " * MAX_BYTES
        assert str(MAX_BYTES) in refused(client, path, body, 413)["detail"]
        refused(client, path, iter([b" " * MAX_BYTES, b" "]), 413)  # in pieces, without their length
        refused(client, path, b"{}", 413, **{"Content-Length": "9" * 40})
        refused(client, path, b"{}", 413, **{"Content-Length": "-1"})

    def test_the_longest_that_is_taken(self, client: TestClient, path: str) -> None:
        body = json.dumps(BASES[path]).encode()
        assert client.post(path, content=body.ljust(MAX_BYTES), headers=JSON).status_code == 200

    @pytest.mark.parametrize("kind", ["text/plain", "", "application/jsonx", "multipart/form-data; boundary=x"])
    def test_another_content_type(self, client: TestClient, path: str, kind: str) -> None:
        body = json.dumps(BASES[path]).encode()
        assert "expected application/json" in refused(client, path, body, 415, **{"Content-Type": kind})["detail"]

    def test_a_charset_is_no_matter_and_compression_is(self, client: TestClient, path: str) -> None:
        body = json.dumps(BASES[path]).encode()
        kind = {"Content-Type": "Application/JSON; charset=utf-8"}
        assert client.post(path, content=body, headers=kind).status_code == 200
        refused(client, path, body, 415, **{"Content-Encoding": "gzip"})

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
    def test_another_method(self, client: TestClient, path: str, method: str) -> None:
        response = client.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        assert response.headers["content-type"] == PROBLEM


ids = st.sampled_from([f"creative-{i}" for i in range(5)]) | st.text(max_size=8)
names = st.text(max_size=8)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
sensible = st.fixed_dictionaries(
    {"placement": st.sampled_from(["top", "side"]), "candidates": st.lists(ids, max_size=120)},
    optional={
        "n": st.integers(0, 65),
        "user_id": st.sampled_from(USERS) | names,
        "context": st.dictionaries(names, names | st.integers(), max_size=3),
        "caps": st.dictionaries(ids, st.integers(0, 2), max_size=4),
        "categories": st.dictionaries(ids, st.sampled_from(["Bag", "Boot", "Hat"]), max_size=4),
        "position": st.integers(-1, 5),
        "tmax_ms": st.integers(1, 100),
    },
)
odd = st.tuples(sensible, st.sampled_from(["n", "user_id", "segment", "context", "caps", "position", "more"]), anything)
requests = sensible | odd.map(lambda made: {**made[0], made[1]: made[2]}) | anything


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=requests)
def test_whatever_is_asked_is_answered_or_refused(client: TestClient, log: MemoryLog, asked: object) -> None:
    before = len(log.records)
    response = client.post(DECIDE, content=json.dumps(asked).encode(), headers=JSON)
    logged = log.records[before:]
    if response.status_code != 200:
        assert response.status_code in (400, 422), response.text
        assert (response.headers["content-type"], logged) == (PROBLEM, [])
        return
    (record,) = logged
    assert isinstance(record, Decision)
    assert decode(encode(record)) == record
    assert list(check_decision(record)) == []
    if record.candidates:
        assert math.fsum(record.probabilities) == pytest.approx(1, abs=1e-12)
    assert [c["creative_id"] for c in response.json()["creatives"]] == record.chosen
    assert isinstance(asked, dict)
    assert len(record.chosen) == min(asked.get("n", 1), len(record.candidates))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60) | anything.map(lambda made: json.dumps(made).encode()))
def test_whatever_is_told_is_taken_or_refused(client: TestClient, body: bytes) -> None:
    response = client.post(FEEDBACK, content=body, headers=JSON)
    assert response.status_code in (400, 422), response.text
