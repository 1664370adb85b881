"""Recommendations of the decide app: by the model, its cached answer or popularity, with a line in the log."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.support.http_client import post_invalid, post_ok
from tests.support.tiny_models import write_recommender

from adloom.data.privacy import PUBLISHED_KEY, key_fingerprint, pseudonymise
from adloom.decision_log.record import Recommendation
from adloom.recommendation.recommender import Recommender
from adloom.serving.api.recommend_schemas import RECOMMEND, RecommendAnswer, RecommendRequest
from adloom.serving.app import ServiceDependencies, create_decide_app
from adloom.serving.decide import recommendations
from adloom.serving.decide.recommendations import RecommendationService
from adloom.serving.decide.service import MemoryLog
from adloom.serving.models import loader
from adloom.serving.models.loader import Models
from adloom.serving.models.sources import ModelArtifact
from adloom.serving.segments import PseudonymKeys

Ask = Callable[..., RecommendAnswer]


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def ask(models: Models, log: MemoryLog) -> Ask:
    service = RecommendationService(PseudonymKeys(None), log, "shop")

    def answer(ago: float = 0.0, served: Models = models, **fields: object) -> RecommendAnswer:
        return service.answer(RecommendRequest.model_validate(fields), time.perf_counter() - ago, served)

    return answer


def fail(*_: object) -> list[str]:
    raise ValueError("a broken model")


def test_a_user_by_id_by_recent_items_and_by_both(ask: Ask) -> None:
    assert ask(user_id="1", n=1).items == ask(user_id=" 1.0", n=1).items == ["item-b"]
    assert ask(recent=["item-b", "sold out"], n=1).items == ["item-c"]
    assert ask(user_id="1", recent=["item-b"], n=4).items == ["item-c", "item-d"]
    assert ask(user_id="2", n=2, exclude_seen=False).items == ["item-b", "item-c"]


def test_users_without_items_get_popularity_of_their_segment(ask: Ask, models: Models) -> None:
    assert ask(recent=[], n=1).items == ask(user_id="unheard of", n=1).items == ["item-d"]
    assert ask(recent=[], n=1, segment="segment-2").items == ["item-c"]
    answer = ask(user_id="3", n=1)
    assert (answer.items, answer.segment, answer.tier) == (["item-c"], "segment-2", "model")
    others = Models({"recommender": models.recommender}, {})
    assert (ask(user_id="3", n=1, served=others).items, ask(user_id="3", served=others).segment) == (["item-d"], None)


def test_an_expired_request_gets_the_cached_answer_or_popularity(ask: Ask) -> None:
    late = {"ago": 0.2, "recent": ["item-a"], "n": 2, "tmax_ms": 100}
    answer = ask(**late)
    assert (answer.tier, answer.items) == ("default", ["item-d", "item-b"])
    assert ask(**late | {"ago": 0}).items == ["item-b", "item-d"]
    assert (ask(**late).tier, ask(**late).items) == ("cached", ["item-b", "item-d"])
    assert ask(**late | {"n": 3}).tier == "default"  # another question


def test_a_failing_model_is_replaced_and_new_models_forget_old_answers(
    ask: Ask, models: Models, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ask(recent=["item-a"])
    monkeypatch.setattr(Recommender, "rank", fail)
    assert ask(recent=["item-a"]).tier == "cached"
    assert ask(recent=["item-b"]).tier == "default"
    assert ask(recent=["item-a"], served=Models(dict(models.loaded), {})).tier == "default"
    assert set(caplog.messages) == {"the recommender failed"}


def test_the_cache_is_bounded(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommendations, "CACHE_SIZE", 2)
    for item in ("item-a", "item-b", "item-c"):
        ask(recent=[item])
    assert [ask(recent=[item], ago=1).tier for item in ("item-a", "item-c")] == ["default", "cached"]


def test_the_log_has_the_pseudonym_and_never_the_id(ask: Ask, log: MemoryLog, models: Models) -> None:
    answers = [ask(user_id="1", recent=["item-c"], n=2), ask(recent=[])]
    first, second = log.records
    assert isinstance(first, Recommendation)
    assert isinstance(second, Recommendation)
    assert first.recommendation_id == answers[0].recommendation_id
    assert (first.user, first.user_key) == (pseudonymise("1", PUBLISHED_KEY), key_fingerprint(PUBLISHED_KEY))
    assert (first.recent, first.items, first.tier) == (["item-c"], answers[0].items, "model")
    assert (first.model, first.project, first.segment) == (models.recommender.origin.digest, "shop", "segment-1")
    assert (second.user, second.user_key) == (None, None)


def test_over_http_with_its_metrics(client: TestClient) -> None:
    answer = post_ok(client, RECOMMEND, {"user_id": "2", "n": 1})
    assert (answer["items"], answer["model"]["name"]) == (["item-c"], "recommender")
    assert 'adloom_recommend_seconds_count{tier="model"} 1.0' in client.get("/metrics").text


def test_users_under_an_unknown_key_and_no_recommender_are_problems(tmp_path: Path) -> None:
    write_recommender(tmp_path / "recommender", b"a private key of the shop")
    models = loader.load({"recommender": ModelArtifact(tmp_path / "recommender", None)}, 1)
    with TestClient(create_decide_app(models, ServiceDependencies(PseudonymKeys(None)))) as client:
        detail = post_invalid(client, RECOMMEND, {"user_id": "1"}, 503)["detail"]
        assert detail.startswith("model recommender is not served: users are under the key ")
        assert detail.endswith("set ADLOOM_PSEUDONYM_KEY, or send recent")
        assert post_ok(client, RECOMMEND, {"recent": ["item-a"], "n": 1})["items"] == ["item-b"]
    nothing = Models({}, {"recommender": "skipped: events: no row has an item_id"})
    with TestClient(create_decide_app(nothing, ServiceDependencies(PseudonymKeys(None)))) as client:
        assert "skipped: events: no row" in post_invalid(client, RECOMMEND, {"recent": []}, 503)["detail"]
