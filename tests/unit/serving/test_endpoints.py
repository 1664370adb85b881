"""Every endpoint, in process: what is answered, what is refused and in which words."""

import base64
import inspect
import io
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from tests.support.slow_pictures import REFUSED
from tests.support.tiny_models import CATEGORIES, DIMENSIONS, EDGE, LINES, write_audience, write_generator

from adloom.arrays import Float32Array, Int64Array, UInt8Array
from adloom.audience.segmenter import FEATURES
from adloom.data.privacy import PUBLISHED_KEY, key_fingerprint
from adloom.onnx_models.runtime import Copywriter, LstmState
from adloom.serving import app as decide_app
from adloom.serving import segments, server
from adloom.serving.api.admission import Admission
from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK
from adloom.serving.api.middleware import ApiMiddleware
from adloom.serving.api.schemas import ENDPOINTS, GENERATE, MAX_PICTURE_BYTES, READ, SEGMENT, WRITE, CopyRequest
from adloom.serving.creatives import generate
from adloom.serving.metrics import RequestMetrics
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models
from adloom.serving.models.refresher import RefreshResult
from adloom.serving.models.sources import ModelArtifact
from adloom.serving.segments import PseudonymKeys

PROBLEM = "application/problem+json"
AROUND = decide_app.ServiceDependencies(PseudonymKeys(None))
ASKED = {path: endpoint for path, endpoint in ENDPOINTS.items() if endpoint.request}  # those with a body
QUESTIONS: dict[str, dict[str, object]] = {SEGMENT: {"users": ["1"]}, GENERATE: {"category": "Bag", "seed": 1}}


@pytest.fixture(scope="module")
def client(models: Models) -> Iterator[TestClient]:
    with TestClient(server.create_named_app("all", models, AROUND), raise_server_exceptions=False) as client:
        yield client


def ok(client: TestClient, path: str, body: object) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(client: TestClient, path: str, body: object, status: int) -> dict[str, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.text
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    return problem


def png(pixels: UInt8Array, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def text(image: bytes) -> str:
    return base64.b64encode(image).decode()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


DARK = png(np.zeros((EDGE, EDGE), np.uint8))
LIGHT = png(np.full((EDGE, EDGE), 255, np.uint8))
BOMB = DARK[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)) + DARK[33:]


class TestGenerate:
    def test_draws_pictures_of_the_category(self, client: TestClient, models: Models) -> None:
        answer = ok(client, GENERATE, {"category": "Boot", "n": 3, "seed": 7})
        pictures = [Image.open(io.BytesIO(base64.b64decode(picture))) for picture in answer["pictures"]]
        assert [(picture.size, picture.mode) for picture in pictures] == [((EDGE, EDGE), "L")] * 3
        assert len({picture.tobytes() for picture in pictures}) == 3
        assert answer["model"] == {"name": "gan", "version": None, "digest": models.gan.origin.digest}
        assert (answer["category"], answer["seed"]) == ("Boot", 7)

    def test_equal_seeds_give_equal_bytes(self, client: TestClient) -> None:
        asked = {"category": "Bag", "n": 2, "seed": 1}
        first = ok(client, GENERATE, asked)["pictures"]
        assert ok(client, GENERATE, asked)["pictures"] == first
        assert ok(client, GENERATE, {**asked, "seed": 2})["pictures"] != first

    def test_a_drawn_seed_is_told_and_repeats(self, client: TestClient) -> None:
        drawn = ok(client, GENERATE, {"category": "Bag"})
        again = ok(client, GENERATE, {"category": "Bag", "seed": drawn["seed"]})
        assert again["pictures"] == drawn["pictures"]

    def test_pictures_say_that_a_model_made_them(self, client: TestClient, models: Models) -> None:
        answer = ok(client, GENERATE, {"category": "Bag", "seed": 5})
        info = Image.open(io.BytesIO(base64.b64decode(answer["pictures"][0]))).info
        assert info["adloom:model"] == models.gan.origin.digest
        assert (info["adloom:category"], info["adloom:seed"], info["adloom:number"]) == ("Bag", "5", "0")
        assert "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia<" in info["xmp"].decode()
        assert answer["source_type"] == "trainedAlgorithmicMedia"

    def test_more_pixels_than_one_request_may_draw(self, tmp_path: Path) -> None:
        write_generator(tmp_path / "gan", edge=128)
        large = loader.load(sources.find_in_folder(tmp_path, ["gan"]), threads=1)
        with TestClient(server.create_named_app("creatives", large, AROUND)) as client:
            problem = refused(client, GENERATE, {"category": "Bag", "n": 17}, 422)
            assert (problem["field"], "at most 16 are drawn" in problem["detail"]) == ("n", True)
            assert len(ok(client, GENERATE, {"category": "Bag", "n": 16})["pictures"]) == 16

    def test_an_unknown_category_is_told_the_known_ones(self, client: TestClient) -> None:
        problem = refused(client, GENERATE, {"category": "bag"}, 422)
        assert problem["field"] == "category"
        assert problem["detail"] == "category: 'bag' is not known to gan; known: Bag, Boot, Coat"

    @pytest.mark.parametrize(
        ("body", "field", "said"),
        [
            ({}, "category", "Field required"),
            ({"category": 3}, "category", "valid string"),
            ({"category": ""}, "category", "at least 1 character"),
            ({"category": "x" * 201}, "category", "at most 200 characters"),
            ({"category": "Bag", "n": 65}, "n", "less than or equal to 64"),
            ({"category": "Bag", "n": 10**30}, "n", "64"),
            ({"category": "Bag", "n": 0}, "n", "greater than or equal to 1"),
            ({"category": "Bag", "n": "2"}, "n", "valid integer"),
            ({"category": "Bag", "n": True}, "n", "valid integer"),
            ({"category": "Bag", "seed": -1}, "seed", "greater than or equal to 0"),
            ({"category": "Bag", "count": 2}, "count", "not permitted"),
            ([], None, "object"),
            (None, None, "object"),
        ],
    )
    def test_bad_fields_are_named(self, client: TestClient, body: object, field: str | None, said: str) -> None:
        problem = refused(client, GENERATE, body, 422)
        assert problem.get("field") == field
        assert said in problem["detail"]


class TestRead:
    def test_reads_and_names_neighbours(self, client: TestClient) -> None:
        items = ok(client, READ, {"pictures": [text(DARK), text(LIGHT)], "nearest": 2})["items"]
        assert [item["category"] for item in items] == ["Bag", "Coat"]  # the tiny reader goes by lightness
        for item in items:
            assert list(item["probabilities"]) == CATEGORIES
            assert sum(item["probabilities"].values()) == pytest.approx(1, abs=1e-6)
            assert np.linalg.norm(item["embedding"]) == pytest.approx(1, abs=1e-6)
            best = int(np.argmax(item["embedding"]))  # known creative i is the i-th axis
            assert item["nearest"][0]["creative_id"] == f"creative-{best}"
            assert item["nearest"][0]["similarity"] == pytest.approx(item["embedding"][best], abs=1e-6)
            assert item["nearest"][0]["similarity"] >= item["nearest"][1]["similarity"]

    def test_other_sizes_colours_and_jpeg_are_brought_to_the_models_size(self, client: TestClient) -> None:
        light = np.full((100, 40, 3), 255, np.uint8)
        items = ok(client, READ, {"pictures": [text(png(light)), text(png(light, "JPEG"))]})["items"]
        assert [item["category"] for item in items] == ["Coat", "Coat"]

    def test_no_neighbours_asked(self, client: TestClient) -> None:
        assert ok(client, READ, {"pictures": [text(DARK)], "nearest": 0})["items"][0]["nearest"] == []
        assert len(ok(client, READ, {"pictures": [text(DARK)], "nearest": 20})["items"][0]["nearest"]) == DIMENSIONS

    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            ("not base64!", "not base64"),
            ("", "neither PNG nor JPEG"),
            (text(DARK[:50]), "truncated or damaged"),
            (text(DARK[:20]), "truncated or damaged"),
            (text(BOMB), "more pixels than 16777216"),
            (text(b"GIF89a" + bytes(50)), "neither PNG nor JPEG"),
            (text(b"\xff\xd8\xff" + bytes(50)), "image: "),
            (text(DARK[:8] + bytes(MAX_PICTURE_BYTES)), "expected at most 4194304"),
            ("é", "not base64"),
        ],
    )
    def test_one_bad_picture_is_its_own_error(self, client: TestClient, bad: str, said: str) -> None:
        alone = ok(client, READ, {"pictures": [text(DARK)]})["items"][0]
        items = ok(client, READ, {"pictures": [text(DARK), bad, text(DARK)]})["items"]
        assert items[0] == items[2] == alone
        assert said in items[1]["error"]["detail"]
        assert items[1]["error"]["field"] == "pictures.1"
        assert items[1]["error"]["status"] == 422

    @pytest.mark.parametrize("name", ["scans", "segments", "chunks", "empty blocks", "transparent"])
    def test_a_slow_picture_is_its_own_error(self, client: TestClient, name: str) -> None:
        make, reason = REFUSED[name]
        items = ok(client, READ, {"pictures": [text(DARK), text(make()), text(LIGHT)]})["items"]
        assert reason in items[1]["error"]["detail"]
        assert items[1]["error"]["field"] == "pictures.1"
        assert [reading["category"] for reading in (items[0], items[2])] == ["Bag", "Coat"]

    def test_only_bad_pictures(self, client: TestClient) -> None:
        items = ok(client, READ, {"pictures": ["!", "!"]})["items"]
        assert [item["error"]["field"] for item in items] == ["pictures.0", "pictures.1"]

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(place=st.integers(0, len(DARK) - 1), byte=st.integers(0, 255), cut=st.integers(0, len(DARK)))
    def test_damaged_pictures_are_read_or_refused(self, client: TestClient, place: int, byte: int, cut: int) -> None:
        damaged = bytearray(DARK)
        damaged[place] = byte
        items = ok(client, READ, {"pictures": [text(bytes(damaged[:cut])), text(DARK)]})["items"]
        assert items[0].keys() in ({"error"}, items[1].keys())
        assert items[1]["category"] == "Bag"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"pictures": []}, "pictures"),
            ({"pictures": [""] * 17}, "pictures"),
            ({"pictures": "x"}, "pictures"),
            ({"pictures": [1]}, "pictures.0"),
            ({"pictures": [""], "nearest": 21}, "nearest"),
        ],
    )
    def test_bad_fields_are_named(self, client: TestClient, body: object, field: str) -> None:
        assert refused(client, READ, body, 422)["field"] == field


class TestWrite:
    def test_writes_lines_that_obey_the_rules(self, client: TestClient) -> None:
        rules = {"max_characters": 20, "banned_words": ["soft"], "temperature": 1}
        lines = ok(client, WRITE, {"n": 20, "seed": 1, "rules": rules, "prompt": "Lovely"})["lines"]
        assert 0 < len(lines) <= 20
        assert all(line.startswith("Lovely") and len(line) <= 20 and "soft" not in line.lower() for line in lines)
        assert not set(lines) & set(LINES), "a training line was repeated"

    def test_rules_nobody_can_meet_cost_no_more_than_others(self, client: TestClient, models: Models) -> None:
        request = {"n": 64, "rules": {"max_characters": 200, "banned_words": ["coat", "dress", "warm"]}}
        asked: list[int] = []

        class Counted(Copywriter):
            def __init__(self) -> None:
                self.__dict__ |= vars(models.lstm.model.write)

            def __call__(self, token: Int64Array, state: LstmState) -> tuple[Float32Array, LstmState]:
                asked.append(token.size)
                return super().__call__(token, state)

        bundle = models.loaded["lstm"]
        counted = replace(bundle, model=replace(bundle.model, write=Counted()))
        body = CopyRequest.model_validate(request)
        assert generate.write(body, Models({"lstm": counted}, {})).lines == []
        assert ok(client, WRITE, request | {"seed": 1})["lines"] == []
        assert sum(asked) <= generate.MAX_DRAWN

    def test_equal_seeds_give_equal_lines(self, client: TestClient) -> None:
        asked = {"category": "Coats", "n": 5, "seed": 3}
        assert ok(client, WRITE, asked) == ok(client, WRITE, asked)

    def test_rules_that_leave_nothing_give_no_lines(self, client: TestClient) -> None:
        assert ok(client, WRITE, {"n": 2, "rules": {"max_characters": 1}})["lines"] == []

    @pytest.mark.parametrize(
        ("body", "field", "said"),
        [
            ({"category": "Hats"}, "category", "known: Coats, Dresses"),
            ({"prompt": "x" * 101}, "prompt", "at most 100 characters"),
            ({"prompt": "Lovely", "rules": {"max_characters": 5}}, None, "prompt has 6 characters"),
            ({"n": 65}, "n", "less than or equal to 64"),
            ({"prompt": "\U0001f600" * 50}, "prompt", "200 tokens, expected at most 64"),
            ({"prompt": "a\nb"}, "prompt", "match pattern"),
            ({"rules": {"temperature": 0}}, "rules.temperature", "greater than or equal to 0.1"),
            ({"rules": {"temperature": True}}, "rules.temperature", "valid number"),
            ({"rules": {"temperature": "hot"}}, "rules.temperature", "valid number"),
            ({"rules": {"banned": []}}, "rules.banned", "not permitted"),
            ({"rules": {"banned_words": [""]}}, "rules.banned_words.0", "at least 1 character"),
        ],
    )
    def test_bad_fields_are_named(self, client: TestClient, body: object, field: str | None, said: str) -> None:
        problem = refused(client, WRITE, body, 422)
        assert problem.get("field") == field
        assert said in problem["detail"]


class TestSegment:
    ROW = dict.fromkeys(FEATURES, 1.0)

    def test_known_users_and_a_stranger(self, client: TestClient) -> None:
        items = ok(client, SEGMENT, {"users": ["1", "3", "nobody"]})["items"]
        assert items == [{"segment": "segment-1"}, {"segment": "segment-2"}, {"segment": None}]

    def test_rows(self, client: TestClient) -> None:
        rows = [{**self.ROW, "recency_days": 0}, {**self.ROW, "recency_days": 300, "interpurchase_days": None}]
        items = ok(client, SEGMENT, {"rows": rows})["items"]
        assert items == [{"segment": "segment-1"}, {"segment": "segment-2"}]

    def test_one_impossible_row_is_its_own_error(self, client: TestClient) -> None:
        items = ok(client, SEGMENT, {"rows": [self.ROW, {**self.ROW, "monetary": -2}, self.ROW]})["items"]
        assert items[0] == items[2] == {"segment": "segment-1"}
        assert items[1]["error"]["detail"] == "monetary: -2.0 in row 1; expected a number from 0, or null"
        assert items[1]["error"]["field"] == "rows.1"

    @pytest.mark.parametrize(
        ("body", "field", "said"),
        [
            ({}, None, "exactly one of users and rows"),
            ({"users": ["1"], "rows": [ROW]}, None, "exactly one of users and rows"),
            ({"users": []}, "users", "at least 1 item"),
            ({"users": ["1"] * 1001}, "users", "at most 1000 items"),
            ({"users": [1]}, "users.0", "valid string"),
            ({"rows": [{"recency_days": 1}]}, "rows.0.frequency", "required"),
            ({"rows": [{**ROW, "age": 3}]}, "rows.0.age", "not permitted"),
        ],
    )
    def test_bad_fields_are_named(self, client: TestClient, body: object, field: str | None, said: str) -> None:
        problem = refused(client, SEGMENT, body, 422)
        assert problem.get("field") == field
        assert said in problem["detail"]

    def test_not_a_number_is_not_json(self, client: TestClient) -> None:
        body = json.dumps({"rows": [{**self.ROW, "monetary": float("nan")}]}).encode()
        assert refused(client, SEGMENT, body, 422)["field"] == "rows.0.monetary"

    def test_users_under_a_private_key(self, tmp_path: Any) -> None:
        private = b"a private key of the shop"
        write_audience(tmp_path / "audience", private)
        models = loader.load({"audience": ModelArtifact(tmp_path / "audience", None)}, 1)
        with_key = TestClient(
            decide_app.create_decide_app(models, decide_app.ServiceDependencies(PseudonymKeys(private)))
        )
        assert ok(with_key, SEGMENT, {"users": ["4"]})["items"] == [{"segment": "segment-2"}]
        without = TestClient(
            decide_app.create_decide_app(
                models, decide_app.ServiceDependencies(PseudonymKeys(b"another key of the shop"))
            )
        )
        problem = refused(without, SEGMENT, {"users": ["4"]}, 503)
        assert key_fingerprint(private) in problem["detail"]
        assert "set ADLOOM_PSEUDONYM_KEY" in problem["detail"]
        assert private.decode() not in problem["detail"]
        assert ok(without, SEGMENT, {"rows": [self.ROW]})["items"] == [{"segment": "segment-1"}]


FIELDS = sorted({name for endpoint in ASKED.values() for name in inspect.get_annotations(endpoint.request or object)})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just("Bag"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FIELDS, "?"]), inner, max_size=4),
    max_leaves=8,
)


class TestFront:
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(path=st.sampled_from(sorted(ASKED)), body=JSON)
    def test_any_json_is_answered_or_refused(self, client: TestClient, path: str, body: object) -> None:
        content = json.dumps(body).encode()
        response = client.post(path, content=content, headers={"Content-Type": "application/json"})
        assert response.status_code in {200, 400, 422}, response.text
        if response.status_code != 200:
            assert response.headers["content-type"] == PROBLEM

    @pytest.mark.parametrize("path", ASKED)
    @pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe"])
    def test_not_json(self, client: TestClient, path: str, body: bytes) -> None:
        assert refused(client, path, body, 400)["detail"].startswith("the body is not JSON")

    @pytest.mark.parametrize("path", ASKED)
    @pytest.mark.parametrize("body", [b'{"category": "\xe9"}', b"[" * 100_000 + b"]" * 100])
    def test_not_json_further_on(self, client: TestClient, path: str, body: bytes) -> None:
        """The lane's paths say what is wrong first, which may be a field."""
        response = client.post(path, content=body, headers={"Content-Type": "application/json"})
        too_large = len(body) > ENDPOINTS[path].max_bytes
        expected = {413} if too_large else {400, 422} if path in (DECIDE, FEEDBACK) else {400}
        assert response.status_code in expected
        assert response.headers["content-type"] == PROBLEM

    @pytest.mark.parametrize("path", ASKED)
    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
    def test_another_content_type(self, client: TestClient, path: str, kind: str | None) -> None:
        response = client.post(path, content=b"{}", headers={"Content-Type": kind} if kind else {})
        assert (response.status_code, response.headers["content-type"]) == (415, PROBLEM)
        assert "expected application/json" in response.json()["detail"]

    def test_compressed_bodies_are_not_inflated(self, client: TestClient) -> None:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        assert client.post(GENERATE, content=b"{}", headers=headers).status_code == 415

    @pytest.mark.parametrize("path", ASKED)
    def test_a_body_over_the_limit(self, client: TestClient, path: str) -> None:
        limit = ENDPOINTS[path].max_bytes
        assert str(limit) in refused(client, path, b" " * (limit + 1), 413)["detail"]
        parts = iter([b" " * limit, b" "])  # without a Content-Length
        response = client.post(path, content=parts, headers={"Content-Type": "application/json"})
        assert response.status_code == 413

    def test_unknown_paths_and_methods(self, client: TestClient) -> None:
        missing = client.get("/v1/nothing")
        assert (missing.status_code, missing.headers["content-type"]) == (404, PROBLEM)
        assert "/v1/models" in missing.json()["detail"]
        for path in (SEGMENT, GENERATE):
            wrong = client.get(path)
            assert (wrong.status_code, wrong.headers["content-type"]) == (405, PROBLEM)
            assert wrong.headers["allow"] == "POST"

    def test_a_failure_inside_is_a_problem_and_is_logged(
        self, models: Models, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(segments, "segment", None)
        app = decide_app.create_decide_app(models, AROUND)
        response = TestClient(app, raise_server_exceptions=False).post(SEGMENT, json={"users": ["1"]})
        assert (response.status_code, response.headers["content-type"]) == (500, PROBLEM)
        assert response.json()["detail"] == "something failed here; the service's log says what"
        assert "POST /v1/segment" in caplog.text

    def test_metrics_count_by_path_and_status(self, models: Models) -> None:
        client = TestClient(decide_app.create_decide_app(models, AROUND))
        client.post(SEGMENT, json={"users": ["1"]})
        client.post(SEGMENT, json={})
        client.get("/some/stranger")
        text = client.get("/metrics").text
        assert 'adloom_requests_total{path="/v1/segment",status="200"} 1.0' in text
        assert 'adloom_requests_total{path="/v1/segment",status="422"} 1.0' in text
        assert 'adloom_requests_total{path="other",status="404"} 1.0' in text
        assert "stranger" not in text
        assert 'adloom_request_seconds_count{path="/v1/segment"} 2.0' in text

    def test_requests_in_flight_are_those_to_models(self) -> None:
        meter = RequestMetrics()
        seen: dict[str, float | None] = {}

        async def look(scope: Scope, receive: Receive, send: Send) -> None:
            seen[scope["path"]] = meter.registry.get_sample_value("adloom_requests_in_flight")
            await PlainTextResponse("seen")(scope, receive, send)

        client = TestClient(ApiMiddleware(look, Admission(meter, decide_app.DECIDE_ENDPOINTS)))
        client.post(SEGMENT, json={"users": ["1"]})
        client.get("/readyz")
        assert seen == {SEGMENT: 1, "/readyz": 0}
        assert meter.registry.get_sample_value("adloom_requests_in_flight") == 0


class TestApps:
    """The services that a cluster runs apart: each answers its own paths and knows of no other."""

    @pytest.mark.parametrize(("app", "own", "other"), [("decide", SEGMENT, GENERATE), ("creatives", GENERATE, SEGMENT)])
    def test_each_answers_its_own(self, models: Models, app: str, own: str, other: str) -> None:
        with TestClient(server.create_named_app(app, models, AROUND), raise_server_exceptions=False) as client:
            assert ok(client, own, QUESTIONS[own])
            stranger = client.post(other, content=b"not even JSON")
            assert (stranger.status_code, stranger.headers["content-type"]) == (404, PROBLEM)
            assert own in stranger.json()["detail"]
            assert other not in stranger.json()["detail"]
            assert set(client.get("/openapi.json").json()["paths"]) & set(ENDPOINTS) == set(server.APPS[app].endpoints)

    def test_together_they_are_all(self) -> None:
        apart = [server.APPS["decide"], server.APPS["creatives"]]
        assert {path for app in apart for path in app.endpoints} == set(server.APPS["all"].endpoints)
        assert sorted(model for app in apart for model in app.models) == sorted(server.APPS["all"].models)


class TestPages:
    def test_models(self, client: TestClient, models: Models) -> None:
        listed = client.get("/v1/models").json()
        assert [model["model"]["name"] for model in listed["models"]] == ["gan", "cnn", "lstm", "audience", "policy"]
        assert listed["models"][0]["categories"] == CATEGORIES
        assert listed["models"][0]["since"].endswith("+00:00")
        assert listed["absent"] == {}

    def test_a_model_that_is_not_there(self, models: Models) -> None:
        partial = Models({"cnn": models.cnn}, {"gan": "skipped: no source", "audience": "skipped: no source"})
        with TestClient(server.create_named_app("all", partial, AROUND)) as client:
            problem = refused(client, GENERATE, {"category": "Bag"}, 503)
            assert problem["detail"] == "model gan is not served: skipped: no source"
            assert refused(client, SEGMENT, {"users": ["1"]}, 503)["title"] == "Service Unavailable"
            assert ok(client, READ, {"pictures": [text(DARK)]})["items"][0]["category"] == "Bag"
            assert client.get("/v1/models").json()["absent"] == partial.absent
            sources = {"cnn": "folder", "gan": "none", "audience": "none"}
            assert client.get("/readyz").json() == {"ready": True, "models": ["cnn"], "sources": sources}

    def test_nothing_is_ready_without_models(self) -> None:
        nothing = Models({}, {"gan": "gone"})
        with TestClient(server.create_named_app("creatives", nothing, AROUND)) as client:
            assert client.get("/livez").status_code == 200
            ready = client.get("/readyz")
            assert (ready.status_code, ready.headers["content-type"]) == (503, PROBLEM)
            assert ready.json()["detail"] == "no model is served: gan: gone"

    def test_the_decide_app_is_ready_without_models_for_it_answers_all_the_same(self) -> None:
        client = TestClient(decide_app.create_decide_app(Models({}, {"policy": "gone"}), AROUND))
        assert client.get("/readyz").json() == {"ready": True, "models": [], "sources": {"policy": "none"}}

    @pytest.mark.parametrize("served", [{}, {"audience": "served"}])
    def test_who_does_not_know_its_champions_is_ready_only_when_told_to(self, models: Models, served: Any) -> None:
        bundles = {name: getattr(models, name) for name in served}
        unknown = Models(bundles, {"policy": "no answer"}, frozenset({"policy"}))
        waiting = TestClient(decide_app.create_decide_app(unknown, AROUND)).get("/readyz")
        assert (waiting.status_code, waiting.json()["detail"].endswith("policy: no answer")) == (503, True)
        ready = TestClient(decide_app.create_decide_app(unknown, replace(AROUND, ready_without_model=True))).get(
            "/readyz"
        )
        assert (ready.status_code, ready.json()["models"]) == (200, list(served))
        assert ready.json()["sources"]["policy"] == "none"

    def test_a_swap_between_two_requests(self, models: Models) -> None:
        service = decide_app.Service(Models({}, {"audience": "not yet"}), AROUND, decide_app.DECIDE_ENDPOINTS)
        client = TestClient(decide_app.with_middleware(service))
        refused(client, SEGMENT, {"users": ["1"]}, 503)
        service.publish(RefreshResult(models, ("audience",), {}))
        assert ok(client, SEGMENT, {"users": ["1"]})["items"] == [{"segment": "segment-1"}]

    def test_openapi_describes_what_is_there(self, client: TestClient, models: Models) -> None:
        whole = client.get("/openapi.json").json()
        assert set(ENDPOINTS) < set(whole["paths"])
        generate = whole["components"]["schemas"]["GenerateRequest"]
        assert generate["additionalProperties"] is False
        assert generate["properties"]["n"]["maximum"] == 64
        assert client.get("/docs.json").json() == whole
        alone = TestClient(decide_app.create_decide_app(models, AROUND)).get("/openapi.json").json()
        assert set(alone["paths"]) & set(ENDPOINTS) == set(decide_app.DECIDE_ENDPOINTS)

    def test_the_published_key_is_used_without_a_key(self, client: TestClient) -> None:
        assert PseudonymKeys(None).find(key_fingerprint(PUBLISHED_KEY)) == PUBLISHED_KEY
