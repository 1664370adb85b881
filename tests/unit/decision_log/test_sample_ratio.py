"""The sample ratio test alarms for draws that are not those of the logged probabilities, and hardly ever for others."""

from math import exp, log

import numpy as np
import pytest
from tests.support.decision_logs import decision

from adloom.arrays import Float64Array
from adloom.decision_log.sample_ratio import ALPHA, MIN_DECISIONS, STAKES, CreativeCounter, SampleRatio, bet, compare

LOGGED = [0.5, 0.3, 0.2]


def draw(seed: int, drawn: list[float], decisions: int = 4000, adaptive: bool = False) -> SampleRatio:
    """Return the test's result for decisions that log LOGGED, or probabilities that follow the choices so far."""
    rng, counter, logged = np.random.default_rng(seed), CreativeCounter(), LOGGED
    for _ in range(decisions):
        choice = int(rng.choice(3, p=logged if adaptive else drawn))
        counter.add(decision(probabilities=logged, chosen=[("hat", "bag", "shoe")[choice]], propensities=[0.5]))
        logged = LOGGED[choice:] + LOGGED[:choice] if adaptive else logged
    return counter.compare()


def test_a_fortune_is_the_product_of_its_odds() -> None:
    fortunes = bet(np.array([2.0]), np.array([3.0]), np.array([0.25]))
    s = STAKES[-1]
    assert fortunes[0, -1] == pytest.approx(log(exp(2 * s) / (0.75 + 0.25 * exp(s)) ** 3))


@pytest.mark.parametrize("p", [0.0, 1e-9, 0.3, 1.0])
def test_the_expected_fortune_is_one(p: float) -> None:
    one = np.array([1.0])
    won, lost = (np.exp(bet(one * chosen, one, np.array([p]))) for chosen in (1, 0))
    assert p * won + (1 - p) * lost == pytest.approx(np.ones_like(won))


@pytest.mark.parametrize("adaptive", [False, True])
def test_honest_draws_raise_no_alarm(adaptive: bool) -> None:
    results = [draw(seed, LOGGED, 1000, adaptive) for seed in range(10)]
    assert [result.mismatches for result in results] == [[]] * 10
    assert min(result.p_value for result in results) > ALPHA


def test_alarms_in_sound_logs_are_as_rare_as_promised() -> None:
    def alarms(p: Float64Array, decisions: int, logs: int) -> int:
        chosen = np.random.default_rng(1).multinomial(decisions, p, logs).astype(float)
        total = np.full(len(p), float(decisions))
        return sum(compare([""] * len(p), row, total * p, bet(row, total, p)).p_value < ALPHA for row in chosen)

    assert alarms(np.array(LOGGED), 5000, 4000) <= 4
    assert alarms(np.full(40, 1 / 40), 5000, 4000) <= 4


def test_other_draws_raise_an_alarm_that_names_the_creatives() -> None:
    result = draw(1, [0.45, 0.35, 0.2])
    assert result.p_value < ALPHA
    assert {mismatch.name for mismatch in result.mismatches} == {"hat in home", "bag in home"}
    [bag] = [mismatch for mismatch in result.mismatches if mismatch.name == "bag in home"]
    assert bag.expected == pytest.approx(1200)
    assert bag.chosen > 1300


def test_few_decisions_raise_no_alarm() -> None:
    assert draw(1, [0.0, 1.0, 0.0], MIN_DECISIONS - 1).p_value == 1
    assert draw(1, [0.0, 1.0, 0.0], MIN_DECISIONS).p_value < 1e-100
    assert CreativeCounter().compare() == SampleRatio(1.0, [])
