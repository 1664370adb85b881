"""Decisions of an experiment: sticky arms, the probabilities of each arm, and an arm that fails."""

import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare
from starlette.testclient import TestClient
from tests.support.experiments import experiment, in_arm

from adloom.arrays import AnyArray
from adloom.decision_log.record import Decision
from adloom.decision_log.verify import check_decision
from adloom.policy.ope.log_evaluation import LogColumns, evaluate_log
from adloom.policy.scorer import Policy, Scorer
from adloom.serving import app
from adloom.serving.api.decide_schemas import DECIDE, DecideRequest, ModelOrigin
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
PROBABILITIES = {
    "champion": [0.5, 0.3, 0.2],
    "challenger": [0.1, 0.1, 0.8],
    "control": [1 / 3, 1 / 3, 1 / 3],
    "holdout": [],
}


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


def test_probabilities_and_policy_are_those_of_the_arm() -> None:
    for record in decide([str(number) for number in range(60)]):
        probabilities = PROBABILITIES[record.arm or ""]
        assert record.probabilities == pytest.approx(probabilities)
        assert record.policy_version == {"champion": 1, "challenger": 2}.get(record.arm or "")
        assert [*check_decision(record)] == []
        if record.arm == "holdout":
            assert (record.chosen, record.propensities) == ([], [])
        else:
            assert record.propensities == pytest.approx([probabilities[CREATIVES.index(record.chosen[0])]])


def test_slates_have_the_logged_propensities_in_every_arm() -> None:
    records = decide([None] * 8000, n=2)
    assert not [issue for record in records for issue in check_decision(record)]
    for arm, probabilities in PROBABILITIES.items():
        shown = Counter(record.chosen[0] for record in records if record.arm == arm and record.chosen)
        expected = [probability * shown.total() for probability in probabilities]
        assert not expected or chisquare([shown[creative] for creative in CREATIVES], expected).pvalue > 0.001


def test_policies_are_evaluated_without_bias_on_the_log_of_all_arms() -> None:
    rates, rng = {"hat": 0.1, "bag": 0.3, "shoe": 0.6}, np.random.default_rng(5)
    shown = [record for record in decide([None] * 6000) if record.chosen]
    log = pd.DataFrame([(record.chosen[0], record.propensities[0]) for record in shown], columns=["creative", "p"])
    log["clicked"] = rng.random(len(log)) < log["creative"].map(rates)
    for shares in ({"hat": 0.5, "bag": 0.3, "shoe": 0.2}, {"hat": 0.1, "bag": 0.1, "shoe": 0.8}):
        value = evaluate_log(log, LogColumns("creative", "clicked", "p"), partial(show, shares=shares))
        truth = sum(shares[creative] * rate for creative, rate in rates.items())
        for name in ("ips", "snips", "doubly_robust"):
            estimate = value.estimates[name]
            assert abs(estimate.value - truth) < 1.25 * (estimate.high - estimate.low), name  # 4.9 standard errors


def show(rows: pd.DataFrame, actions: tuple[str, ...], shares: Mapping[str, float]) -> AnyArray:
    """Return the probabilities of a policy that has the same in every row."""
    return np.tile([shares[action] for action in actions], (len(rows), 1))


def test_a_policy_that_fails_decides_uniformly_for_its_own_users_only() -> None:
    failing = policy(2, [0.1, 0.1, 0.8], FailingScorer)
    records = decide([str(number) for number in range(60)], challenger=failing)
    assert {(record.arm, record.tier) for record in records if record.arm in ("champion", "challenger")} == {
        ("champion", "model"),
        ("challenger", "default"),
    }
    failed = [record for record in records if record.arm == "challenger"]
    assert all(record.policy is None for record in failed)
    assert all(record.probabilities == pytest.approx(PROBABILITIES["control"]) for record in failed)


def test_late_decisions_are_uniform_in_every_arm_that_shows_ads() -> None:
    loaded = LoadedExperiment(experiment(ARMS), {1: CHAMPION, 2: CHALLENGER})
    log = MemoryLog()
    decider = Decider(Models({}, {}, experiment=loaded), PseudonymKeys(None), log, "shop")
    request = DecideRequest(placement="home", candidates=["hat", "bag"], n=2)
    decider.decide([(request, time.perf_counter() - 1) for _ in range(20)])
    for record in log.records:
        assert isinstance(record, Decision)
        assert (record.tier, record.probabilities, record.propensities) in [
            ("default", [0.5, 0.5], [0.5, 1.0]),
            ("default", [], []),  # of the arm without ads
        ]


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
    assert "adloom_shadow_seconds_count 0.0" in service.exporter.export().decode()
    service.decider.compare_shadow()
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


def test_an_answer_over_http_has_the_probability_that_is_logged() -> None:
    loaded = LoadedExperiment(experiment(ARMS), {1: CHAMPION, 2: CHALLENGER})
    log, body = MemoryLog(), {"placement": "home", "candidates": list(CREATIVES), "tmax_ms": 60_000}
    models = Models({"policy": CHAMPION}, {}, experiment=loaded)
    with TestClient(app.create_decide_app(models, app.ServiceDependencies(PseudonymKeys(None), log=log))) as client:
        answers = [client.post(DECIDE, json={**body, "user_id": str(user)}).json() for user in range(40)]
    assert [[shown["probability"] for shown in answer["creatives"]] for answer in answers] == [
        record.propensities for record in log.records if isinstance(record, Decision)
    ]
