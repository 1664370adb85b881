"""Decisions over HTTP, in process: creatives, probabilities, tiers, log records and refusals."""

import itertools
import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.support.decision_tiers import tiers
from tests.support.tiny_models import USERS

from adloom.arrays import Float64Array
from adloom.data.privacy import PUBLISHED_KEY, key_fingerprint, pseudonymise
from adloom.decision_log.record import Decision, Feedback, decode, encode
from adloom.decision_log.verify import check_decision
from adloom.policy.scorer import Policy, ScoringRequest
from adloom.serving import app as decide_app
from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK, DecideRequest
from adloom.serving.app import ServiceDependencies
from adloom.serving.decide.endpoint import ARRIVAL
from adloom.serving.decide.micro_batcher import Arrival
from adloom.serving.decide.service import Decider, MemoryLog
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

KNOWN = [f"creative-{i}" for i in range(5)]  # of the tiny policy; creative-0 has odds 8 where it is not the top
THREE = ["creative-0", "creative-1", "creative-3"]
SIDE: dict[str, Any] = {"placement": "side", "candidates": THREE}
FAVOURITE, OTHER = 0.01 + 0.97 * 0.8, 0.01 + 0.97 * 0.1  # of THREE at the side: odds 8, 1, 1, and a floor of 1 %


@dataclass
class Service:
    """The app in front of a client, and the log behind it."""

    client: TestClient
    log: MemoryLog

    def __call__(self, body: object, status: int = 200) -> Any:
        response = send(self.client, DECIDE, body)
        assert response.status_code == status, response.text
        if status == 200:
            fits(self.last, response.json())
        return response.json()

    @property
    def last(self) -> Decision:
        record = self.log.records[-1]
        assert isinstance(record, Decision)
        return record

    def told(self, **given: object) -> Any:
        return send(self.client, FEEDBACK, {"decision_id": "0" * 32, "creative_id": "c", "kind": "click", **given})


def send(client: TestClient, path: str, body: object) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(path, content=content, headers={"Content-Type": "application/json"})


def fits(record: Decision, answer: Mapping[str, Any]) -> None:
    """A record can be read back and learned from, and says what was answered."""
    assert decode(encode(record)) == record
    assert list(check_decision(record)) == []
    assert (record.decision_id, record.tier, record.segment) == tuple(
        answer[name] for name in ("decision_id", "tier", "segment")
    )
    assert [(c["creative_id"], c["probability"]) for c in answer["creatives"]] == list(
        zip(record.chosen, record.propensities, strict=True)
    )
    for model, digest in (("policy", record.policy), ("audience", record.audience)):
        assert (answer[model] or {"digest": None})["digest"] == digest


@contextmanager
def served(
    models: Models, late: float = 0.0, room: int = 1_000_000, keys: PseudonymKeys | None = None
) -> Iterator[Service]:
    """Serve models; requests have been waiting for `late` seconds when they are seen."""
    log = MemoryLog(room=room)
    app = decide_app.create_decide_app(models, ServiceDependencies(keys or PseudonymKeys(None), log=log))
    with TestClient(waited(app, late) if late else app, raise_server_exceptions=False) as client:
        yield Service(client, log)


def waited(app: ASGIApp, seconds: float) -> ASGIApp:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        scope[ARRIVAL] = Arrival(time.perf_counter() - seconds)
        await app(scope, receive, send)

    return wrapped


def with_policy(models: Models, policy: Any) -> Models:
    """Return models with another policy, or without one."""
    others = {model: bundle for model, bundle in models.loaded.items() if model != "policy"}
    if policy is None:
        return Models(others, {"policy": "gone"})
    return Models({**others, "policy": replace(models.loaded["policy"], model=policy)}, {})


@pytest.fixture(scope="module")
def models(folder: Path) -> Models:
    return loader.load(sources.find_in_folder(folder, ["audience", "policy"]), threads=1)


@pytest.fixture(scope="module")
def ask(models: Models) -> Iterator[Service]:
    with served(models) as service:
        yield service


def first_slot(service: Service) -> dict[str, float]:
    return dict(zip(service.last.candidates, service.last.probabilities, strict=True))


class TestProbabilities:
    def test_floor_and_odds(self, ask: Service) -> None:
        answer = ask({**SIDE, "n": 3})
        expected = {"creative-0": FAVOURITE, "creative-1": OTHER, "creative-3": OTHER}
        assert first_slot(ask) == pytest.approx(expected, rel=1e-6)
        assert answer["tier"] == "model"
        assert sorted(c["creative_id"] for c in answer["creatives"]) == THREE
        assert answer["creatives"][2]["probability"] == 1

    def test_the_placement_decides(self, ask: Service) -> None:
        ask({**SIDE, "placement": "top"})
        assert ask.last.probabilities == pytest.approx([1 / 3] * 3, rel=1e-6)

    def test_so_many_candidates_that_the_floor_is_all(self, ask: Service) -> None:
        ask({"placement": "side", "candidates": [*KNOWN, *(f"new-{i}" for i in range(96))]})
        assert ask.last.probabilities == pytest.approx([1 / 101] * 101)

    def test_new_creatives_have_their_categorys_prior(self, ask: Service) -> None:
        asked = {"placement": "side", "candidates": ["new", "creative-1", "strange", "newer"]}
        ask({**asked, "categories": {"new": "Boot", "newer": "Hat", "creative-1": "Boot"}})
        odds = np.array([4, 1, 1, 1])  # a known creative's history counts, whatever category is named
        assert ask.last.probabilities == pytest.approx(0.01 + 0.96 * odds / 7, rel=1e-6)

    def test_all_of_a_category(self, ask: Service) -> None:
        ask({"placement": "side", "category": "Bag"})
        assert first_slot(ask) == pytest.approx(
            {"creative-0": 0.01 + 0.98 * 8 / 9, "creative-3": 0.01 + 0.98 / 9}, rel=1e-6
        )

    @pytest.mark.slow
    def test_slates_are_drawn_as_the_product_of_their_slots_says(self, models: Models) -> None:
        log = MemoryLog()
        decider = Decider(models, PseudonymKeys(None), log, "shop")
        asked, draws = DecideRequest(**SIDE, n=2), 10_000
        for _ in range(draws):
            decider.decide([(asked, time.perf_counter())])
        p = dict(zip(THREE, (FAVOURITE, OTHER, OTHER), strict=True))
        expected = {(a, b): p[a] * p[b] / (1 - p[a]) for a, b in itertools.permutations(THREE, 2)}
        assert math.fsum(expected.values()) == pytest.approx(1)
        decisions = [record for record in log.records if isinstance(record, Decision)]
        for record in decisions[:500]:
            assert math.prod(record.propensities) == pytest.approx(expected[tuple(record.chosen)], rel=1e-6)  # type: ignore[index]
        found = Counter(tuple(record.chosen) for record in decisions)
        for slate, probability in expected.items():
            error = math.sqrt(draws * probability * (1 - probability))
            assert abs(found[slate] - draws * probability) < 6 * error

    def test_segment_context_and_position_reach_the_policy(self, models: Models) -> None:
        """Each of three columns adds log 2 to a creative of its own."""
        shift = [np.log(np.array([[1, 1, 1], np.where(np.arange(3) == i, 2, 1)], np.float32)) for i in range(3)]
        policy = Policy(
            creatives=("a", "b", "c"),
            category=np.zeros(3, np.int64),
            categories=("Bag",),
            bias=np.zeros(3, np.float32),
            features=(("segment",), ("ctx_device",), ("position",)),
            values=(("segment-1",), ("7",), ("2",)),
            weights=tuple(shift),
            prior=np.zeros(2, np.float32),
        )
        asked: dict[str, Any] = {"placement": "side", "candidates": ["a", "b", "c"]}
        with served(with_policy(models, policy.scorer)) as ask:
            for more, odds in (
                ({"segment": "segment-1"}, [2, 1, 1]),
                ({"user_id": USERS[0]}, [2, 1, 1]),
                ({"user_id": "a stranger"}, [1, 1, 1]),
                ({"context": {"device": 7}}, [1, 2, 1]),
                ({"context": {"ctx_device": "7"}, "position": 2}, [1, 2, 2]),
                ({"context": {"device": "8"}, "position": 3}, [1, 1, 1]),
            ):
                ask({**asked, **more})
                assert ask.last.probabilities == pytest.approx(np.array(odds) / sum(odds), rel=1e-6)
        assert (ask.last.context, ask.last.position) == ({"device": "8"}, 3)


class TestWho:
    def test_a_user_is_found_and_logged_by_pseudonym(self, ask: Service) -> None:
        answer = ask({**SIDE, "user_id": USERS[2]})
        assert (answer["segment"], answer["segment_reason"]) == ("segment-2", None)
        assert (ask.last.user, ask.last.user_key) == (
            pseudonymise(USERS[2], PUBLISHED_KEY),
            key_fingerprint(PUBLISHED_KEY),
        )

    def test_a_stranger_has_no_segment(self, ask: Service) -> None:
        answer = ask({**SIDE, "user_id": "a stranger"})
        assert (answer["segment"], answer["segment_reason"]) == (None, "unseen")
        assert ask.last.user == pseudonymise("a stranger", PUBLISHED_KEY)
        assert "a stranger" not in encode(ask.last).decode()

    def test_nobody(self, ask: Service) -> None:
        assert ask(SIDE)["segment"] is None
        assert (ask.last.user, ask.last.user_key) == (None, None)

    def test_without_an_audience_the_own_key_makes_pseudonyms(self, models: Models) -> None:
        own = b"a key for tests only"
        with served(Models({"policy": models.loaded["policy"]}, {}), keys=PseudonymKeys(own)) as ask:
            answer = ask({**SIDE, "user_id": USERS[0]})
            assert (answer["segment"], answer["audience"]) == (None, None)
            assert ask.last.user == pseudonymise(USERS[0], own)

    def test_what_is_asked_twice_or_capped_is_left_out(self, ask: Service) -> None:
        caps = {"creative-1": 0, "creative-3": 2, "elsewhere": 0}
        ask({"placement": "side", "candidates": ["creative-0", *THREE, "creative-3"], "caps": caps, "n": 64})
        assert ask.last.candidates == ["creative-0", "creative-3"]
        assert sorted(ask.last.chosen) == ["creative-0", "creative-3"]

    def test_caps_that_leave_nobody(self, ask: Service) -> None:
        answer = ask({**SIDE, "caps": dict.fromkeys(THREE, 0), "n": 2})
        assert answer["creatives"] == []
        assert (ask.last.candidates, ask.last.probabilities) == ([], [])


@dataclass
class Trouble:
    """A policy that fails, or takes some seconds."""

    seconds: float | None = None
    asked: list[object] = field(default_factory=list)

    def extend(self, contents: object) -> "Trouble":
        return self

    def probabilities(self, questions: Sequence[ScoringRequest]) -> list[Float64Array]:
        self.asked.append(questions)
        if self.seconds is None:
            raise ArithmeticError("a policy that fails")
        until = time.perf_counter() + self.seconds
        while time.perf_counter() < until:
            pass
        return [np.eye(len(question.candidates))[0] for question in questions]


def counted(service: Service) -> dict[str, float]:
    """Return how many answers of each tier the metrics tell."""
    lines = service.client.get("/metrics").text.splitlines()
    start = 'adloom_decide_seconds_count{tier="'
    found = [line.removeprefix(start).split('"} ') for line in lines if line.startswith(start)]
    return {tier: float(count) for tier, count in found if float(count)}


class TestTiers:
    def test_no_policy(self, models: Models) -> None:
        with served(with_policy(models, None)) as ask:
            answer = ask({**SIDE, "n": 2})
            assert (answer["tier"], answer["policy"]) == ("default", None)
            assert ask.last.probabilities == [1 / 3] * 3
            assert ask({"placement": "side", "category": "Bag"}, 422)["field"] == "category"
            assert counted(ask) == {"default": 1}

    def test_no_model_at_all(self) -> None:
        with served(Models({}, {})) as ask:
            assert ask({**SIDE, "user_id": "1"})["tier"] == "default"
            assert ask.client.get("/readyz").status_code == 200

    def test_a_policy_that_fails_is_logged_and_answered_for(
        self, models: Models, caplog: pytest.LogCaptureFixture
    ) -> None:
        with served(with_policy(models, Trouble())) as ask:
            answer = ask(SIDE)
            assert (answer["tier"], answer["policy"]) == ("default", None)  # it did not say so
            assert "the policy failed" in caplog.text
            assert counted(ask) == {"default": 1}

    def test_too_late_for_the_model(self, models: Models) -> None:
        with served(models, late=0.5) as ask:
            assert ask({**SIDE, "tmax_ms": 499})["tier"] == "default"
            assert ask({**SIDE, "tmax_ms": 60_000})["tier"] == "model"
            answer = ask({**SIDE, "tmax_ms": 499})
            assert (answer["tier"], answer["policy"]["name"]) == ("cached", "policy")
            assert ask.last.probabilities == pytest.approx([FAVOURITE, OTHER, OTHER], rel=1e-6)
            assert ask({**SIDE, "tmax_ms": 499, "placement": "top"})["tier"] == "default"  # another question
            assert ask({**SIDE, "tmax_ms": 499, "candidates": THREE[::-1]})["tier"] == "default"
            assert answer["elapsed_ms"] >= 500
            assert counted(ask) == {"default": 3, "model": 1, "cached": 1}
            assert "adloom_decide_late_total 4.0" in ask.client.get("/metrics").text

    def test_a_slow_model_is_asked_again_later(self, models: Models) -> None:
        slow = Trouble(seconds=0.05)
        decider = Decider(with_policy(models, slow), PseudonymKeys(None), MemoryLog(), "shop")
        asked = DecideRequest(**SIDE, tmax_ms=2)
        assert tiers(decider, [asked]) == ["model"]
        assert tiers(decider, [asked]) == ["cached"]  # for the model is expected to take a tenth of 50 ms
        more = itertools.takewhile(lambda _: len(slow.asked) < 2, itertools.repeat(asked, 1000))
        assert {tier for one in more for tier in tiers(decider, [one])} == {"model", "cached"}


class TestFeedback:
    def test_is_accepted_each_time(self, ask: Service) -> None:
        for _ in range(2):
            response = ask.told(kind="conversion", value=12.5, feedback_id="order-1")
            assert (response.status_code, response.json()) == (200, {"accepted": True})
            record = ask.log.records[-1]
            assert isinstance(record, Feedback)
            assert decode(encode(record)) == record
            assert (record.kind, record.value, record.feedback_id) == ("conversion", 12.5, "order-1")
            assert abs(record.time - time.time_ns() // 1000) < 60_000_000

    def test_a_full_log_has_it_sent_again_and_answers_decisions(self, models: Models) -> None:
        with served(models, room=0) as ask:
            response = ask.told()
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
            assert "send it again" in response.json()["detail"]
            assert send(ask.client, DECIDE, SIDE).status_code == 200
