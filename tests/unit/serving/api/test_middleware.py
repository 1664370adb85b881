"""Every endpoint behind the middleware: JSON, content types, limits, errors and metrics."""

import asyncio
import inspect
import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from tests.support.http_client import PROBLEM, post_invalid

from adloom.serving import app as decide_app
from adloom.serving import segments
from adloom.serving.api.admission import Admission
from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK
from adloom.serving.api.endpoints import ENDPOINTS
from adloom.serving.api.middleware import MAX_IN_FLIGHT, ApiMiddleware
from adloom.serving.api.schemas import GENERATE, REFRESH, SEGMENT
from adloom.serving.metrics import RequestMetrics
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

DEPENDENCIES = decide_app.ServiceDependencies(PseudonymKeys(None))


WITH_BODY = {path: endpoint for path, endpoint in ENDPOINTS.items() if endpoint.request}  # those with a body


EXAMPLES: dict[str, dict[str, object]] = {SEGMENT: {"users": ["1"]}, GENERATE: {"category": "Bag", "seed": 1}}


FIELDS = sorted(
    {name for endpoint in WITH_BODY.values() for name in inspect.get_annotations(endpoint.request or object)}
)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just("Bag"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FIELDS, "?"]), inner, max_size=4),
    max_leaves=8,
)


class TestApiMiddleware:
    @pytest.mark.slow
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(path=st.sampled_from(sorted(WITH_BODY)), body=JSON)
    def test_any_json_is_answered_or_refused(self, client: TestClient, path: str, body: object) -> None:
        content = json.dumps(body).encode()
        response = client.post(path, content=content, headers={"Content-Type": "application/json"})
        assert response.status_code in {200, 400, 422}, response.text
        if response.status_code != 200:
            assert response.headers["content-type"] == PROBLEM

    @pytest.mark.parametrize("path", WITH_BODY)
    @pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe"])
    def test_not_json(self, client: TestClient, path: str, body: bytes) -> None:
        assert post_invalid(client, path, body, 400)["detail"].startswith("the body is not JSON")

    @pytest.mark.parametrize("path", WITH_BODY)
    @pytest.mark.parametrize("body", [b'{"category": "\xe9"}', b"[" * 100_000 + b"]" * 100])
    def test_not_json_further_on(self, client: TestClient, path: str, body: bytes) -> None:
        """The lane's paths say what is wrong first, which may be a field."""
        response = client.post(path, content=body, headers={"Content-Type": "application/json"})
        too_large = len(body) > ENDPOINTS[path].max_bytes
        expected = {413} if too_large else {400, 422} if path in (DECIDE, FEEDBACK) else {400}
        assert response.status_code in expected
        assert response.headers["content-type"] == PROBLEM

    @pytest.mark.parametrize("path", WITH_BODY)
    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
    def test_another_content_type(self, client: TestClient, path: str, kind: str | None) -> None:
        response = client.post(path, content=b"{}", headers={"Content-Type": kind} if kind else {})
        assert (response.status_code, response.headers["content-type"]) == (415, PROBLEM)
        assert "expected application/json" in response.json()["detail"]

    def test_compressed_bodies_are_not_inflated(self, client: TestClient) -> None:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        assert client.post(GENERATE, content=b"{}", headers=headers).status_code == 415

    @pytest.mark.parametrize("path", WITH_BODY)
    def test_a_body_over_the_limit(self, client: TestClient, path: str) -> None:
        limit = ENDPOINTS[path].max_bytes
        assert str(limit) in post_invalid(client, path, b" " * (limit + 1), 413)["detail"]
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
        app = decide_app.create_decide_app(models, DEPENDENCIES)
        response = TestClient(app, raise_server_exceptions=False).post(SEGMENT, json={"users": ["1"]})
        assert (response.status_code, response.headers["content-type"]) == (500, PROBLEM)
        assert response.json()["detail"] == "something failed here; the service's log says what"
        assert "POST /v1/segment" in caplog.text

    def test_metrics_count_by_path_and_status(self, models: Models) -> None:
        client = TestClient(decide_app.create_decide_app(models, DEPENDENCIES))
        client.post(SEGMENT, json={"users": ["1"]})
        client.post(SEGMENT, json={})
        client.get("/some/stranger")
        text = client.get("/metrics").text
        assert 'adloom_requests_total{path="/v1/segment",status="200"} 1.0' in text
        assert 'adloom_requests_total{path="/v1/segment",status="422"} 1.0' in text
        assert 'adloom_requests_total{path="other",status="404"} 1.0' in text
        assert "stranger" not in text
        assert 'adloom_request_seconds_count{path="/v1/segment"} 2.0' in text

    def test_the_queue_of_one_path_takes_no_place_of_another(self) -> None:
        go_on = asyncio.Event()

        async def wait(scope: Scope, receive: Receive, send: Send) -> None:
            await go_on.wait()
            await PlainTextResponse("done")(scope, receive, send)

        async def ask() -> tuple[list[int], list[str]]:
            app = ApiMiddleware(wait, Admission(RequestMetrics(), decide_app.DECIDE_ENDPOINTS))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
                asked = [client.post(SEGMENT, json={"users": ["1"]}) for _ in range(MAX_IN_FLIGHT + 3)]
                tasks = [asyncio.create_task(one) for one in [*asked, client.post(REFRESH)]]
                refused, _ = await asyncio.wait(tasks, timeout=30, return_when=asyncio.FIRST_COMPLETED)
                go_on.set()
                answers = await asyncio.gather(*tasks)
            statuses = [answer.status_code for answer in answers]
            return statuses, [one.result().headers["retry-after"] for one in refused]

        statuses, waits = asyncio.run(ask())
        assert statuses == [200] * MAX_IN_FLIGHT + [429] * 3 + [200]
        assert set(waits) == {"1"}

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
