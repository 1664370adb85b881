"""The decider: its cache and latency estimate, batches, and the pair of models."""

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.support.decision_tiers import tiers
from tests.support.tiny_models import DIMENSIONS, write_audience, write_policy

from adloom.data.privacy import PUBLISHED_KEY, key_fingerprint
from adloom.decision_log.record import Decision
from adloom.library.library import ApprovedCreative
from adloom.serving import app
from adloom.serving.api.decide_schemas import DECIDE, MAX_CANDIDATES, DecideAnswer, DecideRequest
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import SEGMENT
from adloom.serving.decide.service import Decider, MemoryLog
from adloom.serving.library.ad_contents import AdContents
from adloom.serving.library.shared_library import ApprovedAds, LibrarySnapshot, SharedLibrary
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models
from adloom.serving.models.refresher import RefreshResult
from adloom.serving.segments import PseudonymKeys
from adloom.storage import manifest

KNOWN = [f"creative-{i}" for i in range(DIMENSIONS)]

PLAIN: dict[str, Any] = {"placement": "side", "candidates": KNOWN, "tmax_ms": 60_000}  # in time on any machine

NOBODY = Models({}, {"policy": "not yet"})


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def service(models: Models, log: MemoryLog) -> app.Service:
    return app.Service(
        models, app.ServiceDependencies(PseudonymKeys(None), log=log, project="shop"), app.DECIDE_ENDPOINTS
    )


@pytest.fixture
def client(service: app.Service) -> TestClient:
    return TestClient(app.with_middleware(service), raise_server_exceptions=False)


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


def test_users_under_an_unknown_key(tmp_path: Path, log: MemoryLog, caplog: pytest.LogCaptureFixture) -> None:
    write_audience(tmp_path / "audience", b"a private key of the shop")
    models = loader.load(sources.find_in_folder(tmp_path, ["audience"]), 1)
    client = TestClient(app.create_decide_app(models, app.ServiceDependencies(PseudonymKeys(None), log=log)))
    answer = ok(client, {**PLAIN, "user_id": "1"})
    assert (answer["segment"], answer["segment_reason"]) == (None, "no audience")
    assert logged(log).user_key == key_fingerprint(PUBLISHED_KEY)
    assert "which is unknown" in caplog.text


def test_a_user_has_one_pseudonym_in_every_spelling(client: TestClient, log: MemoryLog) -> None:
    segments = {ok(client, {**PLAIN, "user_id": spelling})["segment"] for spelling in ("1", "1.0", " 1\u200b")}
    assert segments == {"segment-1"}
    assert len({record.user for record in log.records if isinstance(record, Decision)}) == 1
    assert refused(client, {**PLAIN, "user_id": " \ufeff"})["field"] == "user_id"


class TestTiers:
    def test_probabilities_of_another_policy_are_forgotten(self, models: Models, log: MemoryLog) -> None:
        decider = Decider(models, PseudonymKeys(None), log, "shop")
        asked = msgspec.convert({**PLAIN, "tmax_ms": 50}, DecideRequest)
        assert tiers(decider, [asked]) == ["model"]
        decider.publish(models)
        assert tiers(decider, [asked], ago=1) == ["default"]


class TestLibrary:
    ADS = ApprovedAds(["ad-1", "ad-2"], {"ad-1": "Bag", "ad-2": "Bag"})

    @pytest.fixture
    def client(self, models: Models, log: MemoryLog) -> TestClient:
        library = SharedLibrary(lambda: pytest.fail("a decision opens no database"))
        many = ApprovedAds([f"ad-{i}" for i in range(MAX_CANDIDATES + 1)])
        library.snapshot = LibrarySnapshot({("Bag", "300x250"): self.ADS, (None, None): many})
        dependencies = app.ServiceDependencies(PseudonymKeys(None), log=log, library=library)
        return TestClient(app.create_decide_app(models, dependencies))

    def test_approved_ads_are_the_candidates(self, client: TestClient, log: MemoryLog) -> None:
        selection = {"category": "Bag", "size": "300x250", "state": "approved"}
        answer = ok(client, {**PLAIN, "candidates": {"library": selection}, "n": 2})
        assert {chosen["creative_id"] for chosen in answer["creatives"]} == {"ad-1", "ad-2"}
        assert answer["tier"] == "model"
        assert logged(log).candidates == ["ad-1", "ad-2"]

    def test_the_policy_scores_an_ad_by_its_category(self, models: Models, log: MemoryLog) -> None:
        given = {**PLAIN, "candidates": self.ADS.ids, "categories": self.ADS.categories}
        library = SharedLibrary(lambda: pytest.fail("a decision opens no database"))
        library.snapshot = LibrarySnapshot({(None, None): self.ADS})
        decider = Decider(models, PseudonymKeys(None), log, "shop", library)
        asked = [msgspec.convert(body, DecideRequest) for body in (given, {**PLAIN, "candidates": {"library": {}}})]
        decider.decide([(one, time.perf_counter()) for one in asked])
        one, other = (record for record in log.records if isinstance(record, Decision))
        assert one.probabilities == other.probabilities

    def test_the_policy_scores_an_ad_by_its_contents(self, models: Models, log: MemoryLog) -> None:
        library = SharedLibrary(lambda: pytest.fail("a decision opens no database"))
        asked = msgspec.convert({**PLAIN, "candidates": {"library": {}}}, DecideRequest)
        for reader, expected in (("of the policy", [0.75, 0.25]), ("another", [0.5, 0.5])):
            pictures = [{"reader": reader, "embedding": [value]} for value in (np.log(3.0), 0.0)]
            rows = zip(self.ADS.ids, pictures, strict=True)
            ads = AdContents([ApprovedCreative(name, "ad", "Bag", None, None, picture) for name, picture in rows])
            library.snapshot = LibrarySnapshot({(None, None): self.ADS}, contents=ads)
            Decider(models, PseudonymKeys(None), log, "shop", library).decide([(asked, time.perf_counter())])
            assert logged(log).probabilities == pytest.approx(expected, abs=0.02)

    def test_caps_hold_for_ads(self, client: TestClient) -> None:
        body = {**PLAIN, "candidates": {"library": {"category": "Bag", "size": "300x250"}}, "caps": {"ad-1": 0}}
        assert [chosen["creative_id"] for chosen in ok(client, body)["creatives"]] == ["ad-2"]

    @pytest.mark.parametrize(
        ("selection", "field"),
        [
            ({"category": "Coat"}, "candidates.library"),
            ({"size": "1x1"}, "candidates.library"),
            ({}, "candidates.library"),  # more than a decision takes
            ({"state": "draft"}, "candidates.library.state"),
            ({"colour": "red"}, "candidates.library.colour"),
        ],
    )
    def test_another_selection_is_refused(self, client: TestClient, selection: dict[str, str], field: str) -> None:
        assert refused(client, {**PLAIN, "candidates": {"library": selection}})["field"] == field

    def test_a_library_that_was_not_read(self, client: TestClient, models: Models) -> None:
        for library in (None, SharedLibrary(lambda: pytest.fail("a decision opens no database"))):
            dependencies = app.ServiceDependencies(PseudonymKeys(None), library=library)
            other = TestClient(app.create_decide_app(models, dependencies))
            problem = refused(other, {**PLAIN, "candidates": {"library": {}}}, 503)
            assert "no creative library: no" in problem["detail"]


class TestBatch:
    def test_each_request_gets_its_own_answer(self, models: Models, log: MemoryLog) -> None:
        decider = Decider(models, PseudonymKeys(None), log, "shop")
        bodies: list[dict[str, Any]] = [
            {**PLAIN, "n": 2},
            {**PLAIN, "category": "Bag"},  # and candidates: refused
            {**PLAIN, "placement": "top", "candidates": KNOWN[:1]},
            {**PLAIN, "caps": dict.fromkeys(KNOWN, 0)},  # nobody is left
            {**PLAIN, "candidates": ["new"], "categories": {"new": "Bag"}},
        ]
        asked = [msgspec.convert(body, DecideRequest) for body in bodies]
        answers = decider.decide([(one, time.perf_counter()) for one in asked])
        assert isinstance(answers[1], Problem)
        shown = [[c.creative_id for c in a.creatives] for a in answers if isinstance(a, DecideAnswer)]
        assert [len(creatives) for creatives in shown] == [2, 1, 0, 1]
        assert shown[1:] == [KNOWN[:1], [], ["new"]]
        records = [record for record in log.records if isinstance(record, Decision)]
        assert [record.candidates for record in records] == [KNOWN, KNOWN[:1], [], ["new"]]
        assert [record.placement for record in records] == ["side", "top", "side", "side"]

    def test_late_requests_do_not_delay_the_model(self, models: Models, log: MemoryLog) -> None:
        decider = Decider(models, PseudonymKeys(None), log, "shop")
        asked = msgspec.convert({**PLAIN, "tmax_ms": 50}, DecideRequest)
        now = time.perf_counter()
        answers = decider.decide([(asked, now - 1), (asked, now + 60), (asked, now - 1)])
        assert [a.tier for a in answers if isinstance(a, DecideAnswer)] == ["cached", "model", "cached"]

    def test_a_request_that_fails_does_not_affect_the_others(self, models: Models, log: MemoryLog) -> None:
        decider = Decider(models, PseudonymKeys(None), log, "shop")
        good = msgspec.convert(PLAIN, DecideRequest)
        bad = DecideRequest(placement="side", candidates=["new"], categories="none")  # type: ignore[arg-type]
        asked: list[Any] = [good, bad, None, good]  # the last but one is no request at all
        answers = decider.decide([(one, time.perf_counter()) for one in asked])
        said = [answer.tier if isinstance(answer, DecideAnswer) else type(answer) for answer in answers]
        assert said == ["model", "default", AttributeError, "model"]

    def test_no_requests(self, models: Models, log: MemoryLog) -> None:
        assert Decider(models, PseudonymKeys(None), log, "shop").decide([]) == []


class TestRequestIds:
    def test_ids_of_the_caller_are_kept(self, client: TestClient) -> None:
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
        self, service: app.Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(service.decider, "answer", None)
        client = TestClient(app.with_middleware(service), raise_server_exceptions=False)
        problem = refused(client, PLAIN, 500)
        assert problem["detail"] == "something failed here; the service's log says what"
        assert "NoneType" in caplog.text


class TestPair:
    """A policy serves beside the audience it was trained with."""

    def test_a_policy_of_another_audience_is_refused(self, tmp_path: Path) -> None:
        write_audience(tmp_path / "audience")
        write_policy(tmp_path / "policy", "f" * 64)
        models = loader.load(sources.find_in_folder(tmp_path, ["audience", "policy"]), 1)
        assert list(models.loaded) == ["audience"]
        served = manifest.digest(tmp_path / "audience")[:12]
        assert models.absent["policy"] == (
            f"it was trained with audience ffffffffffff, {served} is served; promote them as a pair"
        )

    def test_a_policy_without_its_audience_is_refused_and_one_that_needs_none_serves(self, tmp_path: Path) -> None:
        write_policy(tmp_path / "policy", "f" * 64)
        assert "none is served" in loader.load(sources.find_in_folder(tmp_path, ["policy"]), 1).absent["policy"]
        write_policy(tmp_path / "policy", None)
        assert list(loader.load(sources.find_in_folder(tmp_path, ["policy"]), 1).loaded) == ["policy"]

    def test_swapped_between_two_requests(self, service: app.Service, client: TestClient, tmp_path: Path) -> None:
        write_policy(tmp_path / "policy", None, best="creative-4")
        new = loader.load(sources.find_in_folder(tmp_path, ["policy"]), 1)
        before = ok(client, PLAIN)["policy"]["digest"]
        service.publish(RefreshResult(new, ("policy",), {"audience": "gone"}, ("audience",)))
        assert ok(client, PLAIN)["policy"]["digest"] == manifest.digest(tmp_path / "policy") != before
        text = client.get("/metrics").text
        assert 'adloom_model_swaps_total{model="policy"} 1.0' in text
        assert 'adloom_model_refused_total{model="audience"} 1.0' in text
        assert client.get("/v1/models").json()["refused"] == {"audience": "gone"}
