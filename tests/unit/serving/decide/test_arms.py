"""Decisions of an experiment: sticky arms, the probabilities of the mixture, and an arm that fails."""

import re
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from starlette.testclient import TestClient
from tests.support.decision_logs import wait_until
from tests.support.experiments import experiment, in_arm

from adloom.decision_log.record import Decision
from adloom.decision_log.verify import check_decision
from adloom.policy.scorer import Policy, Scorer, draw_slate
from adloom.serving import app
from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK, DecideRequest, ModelOrigin
from adloom.serving.decide.arms import ArmMixture
from adloom.serving.decide.service import Decider, MemoryLog
from adloom.serving.models.card import ModelCard
from adloom.serving.models.loader import LoadedExperiment, LoadedModel, Models
from adloom.serving.segments import PseudonymKeys

CREATIVES = ("hat", "bag", "shoe")
ARMS = "champion=60,challenger=20,control=10,holdout=10"


class FailingScorer(Scorer):
    """A policy that raises."""

    def probabilities(self, requests: Any) -> Any:
        """Raise an error."""
        raise RuntimeError("a weight is missing")


def policy(version: int, probabilities: list[float], scorer: type[Scorer] = Scorer) -> LoadedModel[Scorer]:
    """Return a policy with these probabilities in every context."""
    bias, none = np.log(np.array(probabilities)).astype(np.float32), np.zeros(1, np.float32)
    made = Policy(CREATIVES, np.zeros(3, np.int64), (), bias, (), (), (), none)
    origin = ModelOrigin(name="policy", version=version, digest=f"{version}" * 64)
    return LoadedModel(origin, "", ModelCard(), scorer(made), "registry")


CHAMPION, CHALLENGER = policy(1, [0.5, 0.3, 0.2]), policy(2, [0.1, 0.1, 0.8])
MIXTURE = [(6 * p + 2 * q + 1 / 3) / 9 for p, q in zip([0.5, 0.3, 0.2], [0.1, 0.1, 0.8], strict=True)]


def decide(
    users: list[str | None], arms: str = ARMS, challenger: LoadedModel[Scorer] = CHALLENGER, **request: Any
) -> list[Decision]:
    """Return the records of one decision per user."""
    loaded = LoadedExperiment(experiment(arms), {1: CHAMPION, 2: challenger})
    log = MemoryLog()
    decider = Decider(Models({"policy": CHAMPION}, {}, experiment=loaded), PseudonymKeys(None), log, "shop")
    values = {"placement": "home", "candidates": list(CREATIVES), "tmax_ms": 60_000, **request}
    bodies = [values if user is None else {**values, "user_id": user} for user in users]
    for body in bodies:
        decider.decide([(msgspec.convert(body, DecideRequest), time.perf_counter())])
    return [record for record in log.records if isinstance(record, Decision)]


def test_a_user_stays_in_one_arm_and_the_arm_is_logged_with_its_probability() -> None:
    records = decide([str(number % 40) for number in range(120)])
    arms = {(record.user, *in_arm(record)) for record in records}
    assert len(arms) == 40
    assert {arm[1:] for arm in arms} == {
        ("new-policy", name, share)
        for name, share in (("champion", 0.6), ("challenger", 0.2), ("control", 0.1), ("holdout", 0.1))
    }


def test_probabilities_are_those_of_the_mixture_and_the_policy_is_that_of_the_arm() -> None:
    for record in decide([str(number) for number in range(60)]):
        assert record.probabilities == pytest.approx(MIXTURE)
        assert record.policy_version == {"champion": 1, "challenger": 2}.get(record.arm or "")
        assert [*check_decision(record)] == []
        if record.arm == "holdout":
            assert (record.chosen, record.propensities) == ([], [])
        else:
            assert record.propensities == pytest.approx([MIXTURE[CREATIVES.index(record.chosen[0])]])


def test_shown_creatives_have_the_logged_probabilities() -> None:
    records = [record for record in decide([None] * 8000) if record.chosen]
    shown = Counter(record.chosen[0] for record in records)
    expected = [probability * len(records) for probability in MIXTURE]
    assert chisquare([shown[creative] for creative in CREATIVES], expected).pvalue > 0.001


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_the_propensity_of_a_slate_is_the_mean_over_arms(seed: int, slots: int) -> None:
    rng = np.random.default_rng(seed)
    columns, shares = rng.dirichlet(np.ones(3), 2).T, rng.dirichlet(np.ones(2))
    slate = draw_slate(columns[:, 0].tolist(), slots, rng.random)

    def probability(arm: int) -> float:
        """Return the probability of the slate in an arm."""
        left, product = columns[:, arm].copy(), 1.0
        for i in slate.chosen:
            product, left[i] = product * left[i] / left.sum(), 0.0
        return product

    mixed = ArmMixture(shares, columns.T, []).propensities(slate.chosen)
    assert np.prod(mixed) == pytest.approx(shares @ [probability(0), probability(1)])


@pytest.mark.parametrize("shares", [[1.0], [0.5, 0.5]])
def test_creatives_of_probability_zero_have_finite_propensities(shares: list[float]) -> None:
    sure = np.array([1.0, 1e-300, 1e-300, 0.0])
    mixed = ArmMixture(np.array(shares), np.stack([sure] * len(shares)), []).propensities([1, 0, 2, 3])
    assert mixed == pytest.approx([1e-300, 1.0, 1.0, 0.0], rel=1e-9)
    assert np.isfinite(
        ArmMixture(np.array([0.5, 0.5]), np.stack([sure, np.full(4, 0.25)]), []).propensities([3, 2, 1, 0])
    ).all()


def test_a_policy_that_fails_decides_uniformly_for_its_own_users_only() -> None:
    failing = policy(2, [0.1, 0.1, 0.8], FailingScorer)
    records = decide([str(number) for number in range(60)], challenger=failing)
    assert {(record.arm, record.tier) for record in records if record.arm in ("champion", "challenger")} == {
        ("champion", "model"),
        ("challenger", "default"),
    }
    mixture = [(6 * p + 1) / 9 for p in (0.5, 0.3, 0.2)]
    assert records[0].probabilities == pytest.approx(mixture)
    assert all(record.policy is None for record in records if record.arm == "challenger")


def test_late_decisions_are_uniform_in_every_arm_that_shows_ads() -> None:
    loaded = LoadedExperiment(experiment(ARMS), {1: CHAMPION, 2: CHALLENGER})
    log = MemoryLog()
    decider = Decider(Models({}, {}, experiment=loaded), PseudonymKeys(None), log, "shop")
    request = DecideRequest(placement="home", candidates=["hat", "bag"], n=2)
    decider.decide([(request, time.perf_counter() - 1) for _ in range(20)])
    for record in log.records:
        assert isinstance(record, Decision)
        assert (record.tier, record.probabilities) == ("default", [0.5, 0.5])
        assert record.propensities in ([], [0.5, 1.0])


def test_an_experiment_of_challenger_and_control_needs_no_champion() -> None:
    loaded = LoadedExperiment(experiment("challenger=50,control=50"), {2: CHALLENGER})
    decider = Decider(Models({}, {}, experiment=loaded), PseudonymKeys(None), MemoryLog(), "shop")
    request = DecideRequest(placement="home", candidates=list(CREATIVES), tmax_ms=60_000)
    [answer] = decider.decide([(request, time.perf_counter())])
    assert not isinstance(answer, Exception)
    assert answer.tier == "model"


def test_the_end_of_an_experiment_leaves_the_champion_alone() -> None:
    log = MemoryLog()
    models = Models(
        {"policy": CHAMPION}, {}, experiment=LoadedExperiment(experiment(ARMS), {1: CHAMPION, 2: CHALLENGER})
    )
    decider = Decider(models, PseudonymKeys(None), log, "shop")
    decider.publish(replace(models, experiment=None))
    request = DecideRequest(placement="home", candidates=list(CREATIVES), tmax_ms=60_000)
    decider.decide([(request, time.perf_counter())])
    [record] = log.records
    assert isinstance(record, Decision)
    assert in_arm(record) == (None, None, None)
    assert record.probabilities == pytest.approx([0.5, 0.3, 0.2])


def decide_in_the_shadow(scorer: type[Scorer]) -> tuple[list[float], app.Service]:
    """Return the probabilities of the decision before the shadow was asked, and the service after that."""
    loaded = LoadedExperiment(
        experiment("champion=100", shadow=2), {1: CHAMPION, 2: policy(2, [0.1, 0.1, 0.8], scorer)}
    )
    dependencies = app.ServiceDependencies(PseudonymKeys(None), project="shop")
    service = app.Service(Models({"policy": CHAMPION}, {}, experiment=loaded), dependencies, app.DECIDE_ENDPOINTS)
    request = DecideRequest(placement="home", candidates=list(CREATIVES), tmax_ms=60_000)
    [answer] = service.decider.answer([(request, time.perf_counter())])
    assert not isinstance(answer, Exception)
    assert not service.decider.statistics.decisions
    service.decider.finish()
    [record] = dependencies.log.records  # type: ignore[attr-defined] # of a MemoryLog
    return record.probabilities, service


def test_the_shadow_is_compared_after_the_answer_and_never_shown() -> None:
    probabilities, service = decide_in_the_shadow(Scorer)
    assert probabilities == pytest.approx([0.5, 0.3, 0.2])
    text = service.exporter.export().decode()
    assert "adloom_shadow_seconds_count 1.0" in text
    assert "adloom_shadow_errors_total 0.0" in text
    distance = re.search(r"adloom_shadow_distance_sum (\S+)", text)
    assert distance is not None
    assert float(distance[1]) == pytest.approx(0.6)
    assert 'adloom_experiment_decisions_total{arm="champion"} 1.0' in text


def test_a_shadow_that_fails_is_counted_and_affects_no_answer() -> None:
    probabilities, service = decide_in_the_shadow(FailingScorer)
    assert probabilities == pytest.approx([0.5, 0.3, 0.2])
    assert "adloom_shadow_errors_total 1.0" in service.exporter.export().decode()


def open_service(log: MemoryLog) -> TestClient:
    loaded = LoadedExperiment(experiment(ARMS), {1: CHAMPION, 2: CHALLENGER})
    models = Models({"policy": CHAMPION}, {}, experiment=loaded)
    return TestClient(app.create_decide_app(models, app.ServiceDependencies(PseudonymKeys(None), log=log)))


def ask(client: TestClient, users: int) -> list[str]:
    """Return the ids of a decision per user."""
    body = {"placement": "home", "candidates": list(CREATIVES), "tmax_ms": 60_000}
    return [client.post(DECIDE, json={**body, "user_id": str(user)}).json()["decision_id"] for user in range(users)]


def test_answers_over_http_are_logged_with_the_mixture_many_at_a_time() -> None:
    log = MemoryLog()
    with open_service(log) as client:
        ids = ask(client, 20)
        wait_until(lambda: len(log.records) == 20)  # no further request comes
        ids += ask(client, 80)
    assert ids == [record.decision_id for record in log.records]  # type: ignore[union-attr]
    assert all(record.probabilities == pytest.approx(MIXTURE) for record in log.records)  # type: ignore[union-attr]


def test_a_decision_is_logged_before_its_feedback() -> None:
    log = MemoryLog()
    with open_service(log) as client:
        [identity] = ask(client, 1)
        client.post(FEEDBACK, json={"decision_id": identity, "creative_id": "hat", "kind": "click"})
        kinds = [type(record).__name__ for record in log.records]
    assert kinds == ["Decision", "Feedback"]
