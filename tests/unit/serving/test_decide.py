"""Decisions over HTTP, in process: what is answered, what is logged, and by whom when the model cannot."""

import itertools
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.tiny_models import DIMENSIONS, write_audience, write_policy

from adloom.data.privacy import PUBLISHED_KEY, fingerprint, pseudonym
from adloom.decisions.record import Decision, Feedback
from adloom.io import manifest
from adloom.serving import auth, bundles, decide, sources
from adloom.serving.bundles import Models
from adloom.serving.decider import Cache, Decider, MemoryLog, Pace
from adloom.serving.follow import Look
from adloom.serving.messages import DECIDE, FEEDBACK, MAX_BYTES, DecideRequest
from adloom.serving.schemas import SEGMENT
from adloom.serving.segments import Keys

KNOWN = [f"creative-{i}" for i in range(DIMENSIONS)]
PLAIN: dict[str, Any] = {"placement": "side", "candidates": KNOWN}
NOBODY = Models({}, {"policy": "not yet"})


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def service(models: Models, log: MemoryLog) -> decide.Service:
    return decide.Service(models, decide.Around(Keys(None), log=log, project="shop"), decide.OWN)


@pytest.fixture
def client(service: decide.Service) -> TestClient:
    return TestClient(decide.fronted(service), raise_server_exceptions=False)


def ok(client: TestClient, body: object) -> Any:
    response = client.post(DECIDE, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(client: TestClient, body: object, status: int = 422, path: str = DECIDE) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    return found


def logged(log: MemoryLog) -> Decision:
    record = log.records[-1]
    assert isinstance(record, Decision)
    return record


def test_an_answer_and_its_record(client: TestClient, log: MemoryLog, models: Models) -> None:
    answer = ok(client, {**PLAIN, "user_id": "1", "n": 2, "position": 3, "context": {"ctx_device": "phone", "hour": 7}})
    policy, audience = models.bundles["policy"].origin, models.audience.origin
    assert answer["policy"] == {"name": "policy", "version": None, "digest": policy.digest}
    assert answer["audience"] == {"name": "audience", "version": None, "digest": audience.digest}
    assert (answer["tier"], answer["segment"]) == ("model", "segment-1")
    assert answer["elapsed_ms"] > 0
    record = logged(log)
    assert record == msgspec.structs.replace(record, **msgspec.json.decode(json.dumps({
        "decision_id": answer["decision_id"],
        "project": "shop",
        "user": pseudonym("1", PUBLISHED_KEY),
        "user_key": fingerprint(PUBLISHED_KEY),
        "segment": "segment-1",
        "placement": "side",
        "context": {"device": "phone", "hour": "7", "position": "3"},
        "candidates": KNOWN,
        "chosen": [slot["creative_id"] for slot in answer["creatives"]],
        "propensities": [slot["probability"] for slot in answer["creatives"]],
        "policy": policy.digest,
        "policy_version": None,
        "audience": audience.digest,
        "audience_version": None,
        "tier": "model",
    })))  # fmt: skip
    assert abs(record.time / 1e6 - time.time()) < 60
    assert record.elapsed_us == pytest.approx(answer["elapsed_ms"] * 1000)
    assert "1" not in (record.user, record.segment)


def test_probabilities_worked_by_hand(client: TestClient, log: MemoryLog) -> None:
    """Odds 8 1 1 1 1 and a floor of 0.01: 0.01 + 0.95 · 8 / 12 for the best."""
    ok(client, PLAIN)
    assert logged(log).probabilities == pytest.approx([0.01 + 0.95 * 8 / 12] + [0.01 + 0.95 / 12] * 4, abs=1e-7)
    ok(client, {**PLAIN, "placement": "top"})
    assert logged(log).probabilities == pytest.approx([0.2] * 5, abs=1e-7)


def test_a_slates_probabilities_are_conditional(client: TestClient, log: MemoryLog) -> None:
    for _ in range(20):
        answer = ok(client, {**PLAIN, "n": DIMENSIONS})
        p = dict(zip(KNOWN, logged(log).probabilities, strict=True))
        shown = [slot["creative_id"] for slot in answer["creatives"]]
        assert sorted(shown) == KNOWN
        for j, slot in enumerate(answer["creatives"]):
            assert slot["probability"] == pytest.approx(p[shown[j]] / sum(p[c] for c in shown[j:]))
        assert math.prod(slot["probability"] for slot in answer["creatives"]) <= max(p.values())


def test_draws_are_as_often_as_they_say(client: TestClient) -> None:
    draws = [ok(client, {"placement": "side", "candidates": KNOWN[:2]})["creatives"][0] for _ in range(1500)]
    p = 0.01 + 0.98 * 8 / 9
    best = [slot for slot in draws if slot["creative_id"] == "creative-0"]
    assert best[0]["probability"] == pytest.approx(p)
    assert len(best) / 1500 == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 1500))


def test_new_creatives_have_their_categorys_odds(client: TestClient, log: MemoryLog) -> None:
    ok(client, {**PLAIN, "candidates": ["creative-1", "x", "y"], "categories": {"x": "Boot", "y": "Hat"}})
    assert logged(log).probabilities == pytest.approx([0.01 + 0.97 * odds / 6 for odds in (1, 4, 1)], abs=1e-7)


def test_all_of_a_category(client: TestClient, log: MemoryLog) -> None:
    ok(client, {"placement": "side", "category": "Bag"})
    assert logged(log).candidates == ["creative-0", "creative-3"]
    assert refused(client, {"placement": "side", "category": "Hat"})["field"] == "category"


def test_caps_take_candidates_out(client: TestClient, log: MemoryLog) -> None:
    caps = {"creative-0": 0, "creative-1": 3, "elsewhere": 0}
    assert len(ok(client, {**PLAIN, "n": 9, "caps": caps})["creatives"]) == 4
    assert logged(log).candidates == KNOWN[1:]
    assert sum(logged(log).probabilities) == pytest.approx(1, abs=1e-12)


def test_caps_may_leave_nobody(client: TestClient, log: MemoryLog) -> None:
    answer = ok(client, {"placement": "side", "candidates": ["a"], "caps": {"a": 0}})
    assert answer["creatives"] == []
    assert (logged(log).candidates, logged(log).probabilities, logged(log).chosen) == ([], [], [])


def test_a_creative_that_is_named_twice_is_one_candidate(client: TestClient, log: MemoryLog) -> None:
    ok(client, {**PLAIN, "candidates": ["a", "b", "a"]})
    assert logged(log).candidates == ["a", "b"]


def test_segments(client: TestClient, log: MemoryLog) -> None:
    assert ok(client, {**PLAIN, "user_id": "3"})["segment"] == "segment-2"
    assert ok(client, {**PLAIN, "user_id": "nobody"})["segment"] is None
    assert logged(log).user == pseudonym("nobody", PUBLISHED_KEY)
    assert ok(client, {**PLAIN, "segment": "segment-2"})["segment"] == "segment-2"
    assert logged(log).user is None
    assert logged(log).user_key is None


def test_users_under_a_key_that_is_not_here(tmp_path: Path, log: MemoryLog, caplog: pytest.LogCaptureFixture) -> None:
    write_audience(tmp_path / "audience", b"a private key of the shop")
    models = bundles.load(sources.in_folder(tmp_path, ["audience"]), 1)
    client = TestClient(decide.alone(models, decide.Around(Keys(None), log=log)))
    assert ok(client, {**PLAIN, "user_id": "1"})["segment"] is None
    assert logged(log).user_key == fingerprint(PUBLISHED_KEY)
    assert "which is not here: they are in no segment" in caplog.text


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"placement": None}, "placement", "Expected `str`, got `null`"),
        ({"placement": ""}, "placement", "length >= 1"),
        ({"candidates": []}, "candidates", "length >= 1"),
        ({"candidates": ["a"] * 1001}, "candidates", "length <= 1000"),
        ({"candidates": ["a", 3]}, "candidates.1", "Expected `str`, got `int`"),
        ({"candidates": ["x" * 201]}, "candidates.0", "length <= 200"),
        ({"n": 0}, "n", ">= 1"),
        ({"n": 65}, "n", "<= 64"),
        ({"n": "2"}, "n", "Expected `int`, got `str`"),
        ({"n": True}, "n", "Expected `int`, got `bool`"),
        ({"n": 10**30}, "n", "64"),
        ({"caps": {"a": -1}}, "caps", ">= 0"),
        ({"context": {"a": 1.5}}, "context", "got `float`"),
        ({"context": {"a": True}}, "context", "got `bool`"),
        ({"context": {"": "a"}}, "context", "length >= 1"),
        ({"context": {str(i): "a" for i in range(65)}}, "context", "length <= 64"),
        ({"tmax_ms": 0}, "tmax_ms", ">= 1"),
        ({"tmax_ms": 10**9}, "tmax_ms", "<= 60000"),
        ({"position": -1}, "position", ">= 0"),
        ({"user": "1"}, "user", "unknown field"),
        ({"user_id": "1", "segment": "s"}, "segment", "user_id or segment, not both"),
        ({"category": "Bag"}, None, "exactly one of candidates and category"),
    ],
)
def test_bad_fields_are_named(client: TestClient, change: dict[str, Any], field: str | None, said: str) -> None:
    problem = refused(client, {**PLAIN, **change})
    assert problem.get("field") == field
    assert said in problem["detail"]


def test_missing_fields_are_named(client: TestClient) -> None:
    assert refused(client, {"candidates": ["a"]})["field"] == "placement"
    assert refused(client, {"placement": "side"})["detail"] == "give exactly one of candidates and category"


class TestTiers:
    """Who answers when the model cannot, or not in time."""

    def test_without_a_policy_any_candidate_is_as_good(self, log: MemoryLog, models: Models) -> None:
        client = TestClient(decide.alone(NOBODY, decide.Around(Keys(None), log=log)))
        answer = ok(client, {**PLAIN, "n": 2, "user_id": "1"})
        assert (answer["tier"], answer["policy"], answer["audience"]) == ("default", None, None)
        assert [slot["probability"] for slot in answer["creatives"]] == pytest.approx([1 / 5, 1 / 4])
        assert logged(log).tier == "default"
        assert "no policy is served" in refused(client, {"placement": "side", "category": "Bag"})["detail"]

    def test_too_late_for_the_model(self, models: Models, log: MemoryLog) -> None:
        decider = Decider(models, Keys(None), log, "shop")
        asked = msgspec.convert({**PLAIN, "tmax_ms": 50}, DecideRequest)

        def tier(seconds_ago: float) -> str:
            return decider.decide(asked, time.perf_counter() - seconds_ago).tier

        assert tier(0.2) == "default"  # nothing was said before
        assert tier(0) == "model"
        spoken = logged(log).probabilities
        assert tier(0.2) == "cached"
        assert (logged(log).probabilities, logged(log).policy) == (spoken, models.bundles["policy"].origin.digest)
        other = msgspec.structs.replace(asked, segment="segment-2")
        assert decider.decide(other, time.perf_counter() - 0.2).tier == "default"
        assert tier(0) == "model"

    def test_a_model_that_is_expected_to_take_too_long_is_not_asked(self, models: Models, log: MemoryLog) -> None:
        decider = Decider(models, Keys(None), log, "shop")
        for _ in range(50):
            decider._pace.took(DIMENSIONS, 0.05)
        asked = msgspec.convert({**PLAIN, "tmax_ms": 10}, DecideRequest)
        tiers = [decider.decide(asked, time.perf_counter()).tier for _ in range(40)]
        assert tiers[0] == "default"
        assert tiers[-1] == "model"  # what was slow once is tried again

    def test_a_policy_that_fails_is_logged_and_nobody_waits_for_it(
        self, models: Models, log: MemoryLog, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken:
            def probabilities(self, *_: object) -> list[float]:
                raise RuntimeError("broken inside")

        policy = replace(models.bundles["policy"], model=Broken())
        client = TestClient(decide.alone(Models({"policy": policy}, {}), decide.Around(Keys(None), log=log)))
        assert ok(client, PLAIN)["tier"] == "default"
        assert "broken inside" in caplog.text

    def test_what_another_policy_said_is_forgotten(self, models: Models, log: MemoryLog) -> None:
        decider = Decider(models, Keys(None), log, "shop")
        asked = msgspec.convert({**PLAIN, "tmax_ms": 50}, DecideRequest)
        decider.decide(asked, time.perf_counter())
        decider.publish(models)
        assert decider.decide(asked, time.perf_counter() - 1).tier == "default"

    def test_tiers_are_counted(self, client: TestClient) -> None:
        ok(client, PLAIN)
        text = client.get("/metrics").text
        assert 'adloom_decide_seconds_count{tier="model"} 1.0' in text
        assert 'adloom_decide_seconds_count{tier="default"} 0.0' in text
        assert 'adloom_requests_total{path="/v1/decide",status="200"} 1.0' in text


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=60))
def test_the_cache_is_bounded_and_knows_what_was_asked_lately(asked: list[tuple[int, int]]) -> None:
    cache = Cache(size=40)
    for question, count in asked:
        cache.put(question, [1 / count] * count)
        assert sum(map(len, itertools.chain(cache._young.values(), cache._old.values()))) <= 40
    for question, count in asked[-2:]:
        last = [n for q, n in asked if q == question][-1]
        assert cache.get(question, last) == [1 / last] * last
        assert count


def test_the_pace_follows_what_it_took() -> None:
    pace = Pace()
    for _ in range(100):
        pace.took(50, 0.004)
    assert pace.expected(50) == pytest.approx(0.004, rel=1e-3)
    assert pace.expected(40) == pace.expected(63)
    assert pace.expected(1000) == 0


class TestFeedback:
    BODY: ClassVar = {"decision_id": "0" * 32, "creative_id": "creative-1", "kind": "click"}

    def test_it_is_logged_as_often_as_it_is_sent(self, client: TestClient, log: MemoryLog) -> None:
        for _ in range(2):
            response = client.post(FEEDBACK, json={**self.BODY, "value": 2.5, "feedback_id": "f1"})
            assert (response.status_code, response.json()) == (200, {"accepted": True})
        first, second = log.records
        assert isinstance(first, Feedback)
        assert second == msgspec.structs.replace(first, time=second.time)
        assert (first.kind, first.value, first.feedback_id) == ("click", 2.5, "f1")

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"decision_id": "x"}, "decision_id"),
            ({"kind": "view"}, "kind"),
            ({"value": -1}, "value"),
            ({"value": 1e300}, "value"),
            ({"creative_id": ""}, "creative_id"),
            ({"more": 1}, "more"),
        ],
    )
    def test_bad_fields_are_named(self, client: TestClient, change: dict[str, Any], field: str) -> None:
        assert refused(client, {**self.BODY, **change}, path=FEEDBACK)["field"] == field

    def test_without_room_it_is_to_be_sent_again(self, client: TestClient, log: MemoryLog) -> None:
        log.room = 0
        problem = refused(client, self.BODY, 503, FEEDBACK)
        assert "send it again" in problem["detail"]
        assert ok(client, PLAIN)["tier"] == "model"  # a decision is answered all the same


class TestLane:
    def test_scopes(self, models: Models, tmp_path: Path) -> None:
        tokens = {scope: auth.add(tmp_path / "t", scope, [scope]) for scope in auth.SCOPES}
        around = decide.Around(Keys(None), auth=auth.Auth(tmp_path / "t"))
        client = TestClient(decide.alone(models, around))
        asked: dict[str, list[tuple[str, Any]]] = {
            "decide": [(DECIDE, PLAIN), (SEGMENT, {"users": ["1"]})],
            "feedback": [(FEEDBACK, TestFeedback.BODY)],
            "admin": [("/v1/models/refresh", None)],
        }
        for (scope, questions), token in itertools.product(asked.items(), ["none", *tokens]):
            headers = {"Authorization": f"Bearer {tokens[token]}"} if token in tokens else {}
            for path, body in questions:
                status = client.post(path, json=body, headers=headers).status_code
                assert status == (200 if token == scope else 401 if token == "none" else 403), (path, token)
        for page in ("/livez", "/readyz", "/metrics", "/v1/models", "/openapi.json"):
            assert client.get(page).status_code == 200

    def test_methods_types_and_sizes(self, client: TestClient) -> None:
        wrong = client.get(DECIDE)
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        assert client.post(DECIDE, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
        assert client.post(DECIDE, content=b" " * (MAX_BYTES + 1)).status_code == 415
        json_type = {"Content-Type": "application/json"}
        assert client.post(DECIDE, content=b" " * (MAX_BYTES + 1), headers=json_type).status_code == 413
        assert client.post(DECIDE, content=iter([b" " * MAX_BYTES, b" "]), headers=json_type).status_code == 413
        gzipped = {**json_type, "Content-Encoding": "gzip"}
        assert client.post(DECIDE, content=b"{}", headers=gzipped).status_code == 415

    def test_names_of_requests_are_taken_over(self, client: TestClient) -> None:
        trace = "0af7651916cd43dd8448eb211c80319c"
        traced = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        for path, body in ((DECIDE, PLAIN), (SEGMENT, {"users": ["1"]}), (SEGMENT, {})):

            def name(headers: dict[str, str], path: str = path, body: object = body) -> str:
                return client.post(path, json=body, headers=headers).headers["x-request-id"]

            assert name({"X-Request-ID": "mine-1"}) == "mine-1"
            assert name(traced) == trace
            assert name({**traced, "X-Request-ID": "mine-2"}) == "mine-2"
            assert name({"X-Request-ID": "not a name", "traceparent": "00-0-0-00"}) not in ("not a name", trace)
            assert len(name({})) == 32

    def test_a_failure_is_a_problem_and_its_log_line_names_the_request(
        self, service: decide.Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(service.decider, "decide", None)
        client = TestClient(decide.fronted(service), raise_server_exceptions=False)
        problem = refused(client, PLAIN, 500)
        assert problem["detail"] == "something failed here; the service's log says what"
        assert "NoneType" in caplog.text


class TestPair:
    """A policy serves beside the audience it was trained with."""

    def test_a_policy_of_another_audience_is_refused(self, tmp_path: Path) -> None:
        write_audience(tmp_path / "audience")
        write_policy(tmp_path / "policy", "f" * 64)
        models = bundles.load(sources.in_folder(tmp_path, ["audience", "policy"]), 1)
        assert list(models.bundles) == ["audience"]
        served = manifest.digest(tmp_path / "audience")[:12]
        assert models.absent["policy"] == (
            f"it was trained with audience ffffffffffff, {served} is served; promote them as a pair"
        )

    def test_a_policy_without_its_audience_is_refused_and_one_that_needs_none_serves(self, tmp_path: Path) -> None:
        write_policy(tmp_path / "policy", "f" * 64)
        assert "none is served" in bundles.load(sources.in_folder(tmp_path, ["policy"]), 1).absent["policy"]
        write_policy(tmp_path / "policy", None)
        assert list(bundles.load(sources.in_folder(tmp_path, ["policy"]), 1).bundles) == ["policy"]

    def test_swapped_between_two_requests(self, service: decide.Service, client: TestClient, tmp_path: Path) -> None:
        write_policy(tmp_path / "policy", None, best="creative-4")
        new = bundles.load(sources.in_folder(tmp_path, ["policy"]), 1)
        before = ok(client, PLAIN)["policy"]["digest"]
        service.publish(Look(new, ("policy",), {"audience": "gone"}, ("audience",)))
        assert ok(client, PLAIN)["policy"]["digest"] == manifest.digest(tmp_path / "policy") != before
        text = client.get("/metrics").text
        assert 'adloom_model_swaps_total{model="policy"} 1.0' in text
        assert 'adloom_model_refused_total{model="audience"} 1.0' in text
        assert client.get("/v1/models").json()["refused"] == {"audience": "gone"}
