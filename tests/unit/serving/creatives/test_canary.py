"""A challenger answers a share of the requests, never worse than the champion does, and both are compared."""

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient
from tests.support.http_client import DARK, LIGHT, encode

from adloom.serving import server
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import GENERATE, READ, GenerateRequest, ReadRequest
from adloom.serving.app import ServiceDependencies
from adloom.serving.creatives.canary import Answers, Canary, CanaryMetrics
from adloom.serving.creatives.canary_report import parse_canary
from adloom.serving.models.loader import LoadedModel, Models
from adloom.serving.segments import PseudonymKeys


def number(loaded: LoadedModel[Any], version: int) -> LoadedModel[Any]:
    return replace(loaded, origin=replace(loaded.origin, version=version))


@pytest.fixture
def versions(models: Models) -> Models:
    """Version 1 of each model as champion, version 2 as challenger."""
    old, new = ({name: number(models.loaded[name], v) for name in ("gan", "cnn")} for v in (1, 2))
    return Models(old, {}, challengers=new)


def name_version(models: Models, requests: Sequence[Any]) -> Answers:
    return [str(models.gan.origin.version).encode() for _ in requests]


def create_canary(model: str, share: float) -> Canary:
    canary = Canary(model, share, CanaryMetrics(), lambda request: 1)
    canary.rng.seed(0)
    return canary


def test_the_share_of_the_requests_is_answered_by_the_challenger(versions: Models) -> None:
    canary, requests = create_canary("gan", 0.3), [GenerateRequest(category="Bag") for _ in range(1000)]
    answers = canary.answer(name_version, versions, requests)
    assert 0.25 < answers.count(b"2") / 1000 < 0.35
    assert canary.metrics.requests["gan", "challenger", "answered"] == answers.count(b"2")
    assert canary.metrics.requests["gan", "champion", "answered"] == answers.count(b"1")


def test_equal_requests_with_a_seed_get_the_same_version(versions: Models) -> None:
    canary = create_canary("gan", 0.5)
    requests = [GenerateRequest(category="Bag", seed=seed) for seed in range(100)]
    first, second = (canary.answer(name_version, versions, requests) for _ in range(2))
    assert first == second
    assert 30 < first.count(b"2") < 70


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_without_a_share_or_a_challenger_the_champion_answers_alone(versions: Models, share: float) -> None:
    models = versions if share == 0 else replace(versions, challengers={})
    canary = create_canary("gan", share)
    assert canary.answer(name_version, models, [GenerateRequest(category="Bag")]) == [b"1"]
    assert not canary.metrics.requests


def test_the_champion_answers_where_the_challenger_fails(versions: Models) -> None:
    def fail_of_two(models: Models, requests: Sequence[Any]) -> Answers:
        return [RuntimeError() if answer == b"2" else answer for answer in name_version(models, requests)]

    canary = create_canary("gan", 1.0)
    assert canary.answer(fail_of_two, versions, [GenerateRequest(category="Bag")] * 3) == [b"1"] * 3
    assert canary.metrics.requests["gan", "challenger", "failed"] == 3


def test_a_refusal_is_the_answer_and_counts(versions: Models) -> None:
    problem = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "category: unknown")

    def refuse_by_two(models: Models, requests: Sequence[Any]) -> Answers:
        return [problem if answer == b"2" else answer for answer in name_version(models, requests)]

    canary = create_canary("gan", 1.0)
    assert canary.answer(refuse_by_two, versions, [GenerateRequest(category="Bag")]) == [problem]
    assert canary.metrics.requests["gan", "challenger", "refused"] == 1


def test_agreement_is_counted_per_picture_that_both_have_read(versions: Models) -> None:
    """The challenger takes the second of three pictures for another category; the third is broken."""

    def read(models: Models, requests: Sequence[Any]) -> Answers:
        second = b"Coat" if models.cnn.origin.version == 1 else b"Bag"
        item = b'{"items": [{"category": "Bag"}, {"category": "%s"}, {"error": {}}]}'
        return [item % second for _ in requests]

    canary = create_canary("cnn", 1.0)
    canary.answer(read, versions, [ReadRequest(pictures=["a", "b", "c"])])
    assert (canary.metrics.compared["cnn"], canary.metrics.agreed["cnn"]) == (2, 1)
    assert canary.metrics.requests["cnn", "champion", "answered"] == 1
    assert canary.metrics.seconds.keys() == {("cnn", "champion"), ("cnn", "challenger")}


def test_readers_are_timed_on_the_same_pictures_alone(versions: Models) -> None:
    canary = create_canary("cnn", 0.5)
    requests = [ReadRequest(pictures=["a"], nearest=number) for number in range(20)]
    for request in requests:
        canary.answer(lambda models, batch: [b'{"items": []}' for _ in batch], versions, [request])
    registry = CollectorRegistry()
    registry.register(canary.metrics)
    timed = [
        registry.get_sample_value("adloom_canary_item_seconds_count", {"model": "cnn", "role": role})
        for role in ("champion", "challenger")
    ]
    assert timed[0] == timed[1]
    assert 0 < (timed[0] or 0) < 20


@pytest.mark.slow
def test_a_service_answers_by_both_versions_and_shows_how_they_compare(versions: Models) -> None:
    app = server.create_named_app("creatives", versions, ServiceDependencies(PseudonymKeys(None), canary_share=0.5))
    with TestClient(app) as client:
        read = [client.post(READ, json={"pictures": [encode(DARK), encode(LIGHT)], "nearest": n}) for n in range(12)]
        drawn = [client.post(GENERATE, json={"category": "Bag", "seed": seed}) for seed in range(12)]
        refused = [client.post(GENERATE, json={"category": f"none {n}", "seed": n}) for n in range(12)]
        listed = client.get("/v1/models").json()["models"]
        metrics = client.get("/metrics").text
    assert {response.status_code for response in refused} == {422}
    for answers in (read, drawn):
        assert {response.json()["model"]["version"] for response in answers} == {1, 2}
    assert {(each["model"]["version"], each["role"]) for each in listed} == {(1, "champion"), (2, "challenger")}
    summaries = {(each.model, each.role): each for each in parse_canary(metrics)}
    assert summaries["cnn", "challenger"].agreement == 1.0
    assert 0.2 < summaries["gan", "challenger"].refused < 0.8
    assert summaries["gan", "challenger"].requests + summaries["gan", "champion"].requests == 24
