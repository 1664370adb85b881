"""Results worked by hand: three impressions of people, one of a bot."""

import numpy as np
import pytest

from adloom.world.results import Results
from adloom.world.simulator import Contexts, Log

NOTHING = np.full(4, np.nan)


@pytest.fixture
def results() -> Results:
    rates = np.array([[0.0, 0.0], [0.2, 0.4], [0.1, 0.1], [0.3, 0.1]])
    contexts = Contexts(
        np.array([0, 1, 2, 3]), np.zeros(4, int), np.zeros(4, int), np.arange(4.0), rates, np.ones((4, 2), bool)
    )
    clicked = np.array([True, True, False, False])
    log = Log(contexts, np.array([0, 1, 0, 1]), np.array([0.5, 0.8, 0.2, 0.8]), clicked, NOTHING, NOTHING, NOTHING)
    return Results.from_logs([log], bots=1)


def test_bots_do_not_count(results: Results) -> None:
    value, low, high = results.click_rate
    assert value == pytest.approx(1 / 3)
    assert 0 < low < value < high < 1


def test_lift_and_share_of_the_gain(results: Results) -> None:
    assert results.shown.mean() == pytest.approx(0.6 / 3)
    assert results.uniform.mean() == pytest.approx(0.6 / 3)
    assert results.best.mean() == pytest.approx(0.8 / 3)
    assert results.lift == pytest.approx(0)
    assert results.share_of_best == pytest.approx(0)


def test_regret_adds_up(results: Results) -> None:
    regrets = results.compute_regrets()
    assert regrets["served"] == pytest.approx([0, 0, 0.2])
    assert regrets["uniform"] == pytest.approx([0.1, 0.1, 0.2])


def test_uniform_decisions_are_estimated_from_the_log(results: Results) -> None:
    weights = [0.5 / 0.8, 0.5 / 0.2, 0.5 / 0.8]
    assert results.estimate_uniform().value == pytest.approx(weights[0] / sum(weights))


def test_estimates_over_time_end_with_that_of_the_whole_log(results: Results) -> None:
    ends, estimates, truth = results.estimate_over_time()
    assert ends.tolist() == [1, 2, 3]
    assert estimates[-1] == results.estimate_uniform()
    assert truth == pytest.approx([0.3, 0.2, 0.2])
