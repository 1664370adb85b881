"""The world: its truth beside Monte Carlo, its log under the contract, and a loop that learns in it."""

import numpy as np
import pandas as pd
import pytest

from adloom.arrays import AnyArray
from adloom.data import contracts
from adloom.policy.ope.reward_model import Rates
from adloom.world.simulator import Config, Contexts, Log, World, concatenate_logs

STILL = Config(rate=0.1, wear_out=0.0, drift=0.0)


def uniform(situations: Contexts) -> AnyArray:
    return situations.uniform


def table(seed: int, setting: Config) -> AnyArray:
    shape = (setting.segments, setting.placements)
    return np.random.default_rng(seed).dirichlet(np.ones(setting.creatives), shape)


def test_the_exact_value_beside_monte_carlo() -> None:
    world, policy = World(STILL, 1), table(2, STILL)
    log = world.log(lambda situations: situations.look_up(policy), 100_000)
    exact = world.exact_value(policy)
    assert log.true_value(log.contexts.look_up(policy)) == pytest.approx(exact, rel=0.01)  # users came at random
    assert log.reward.mean() == pytest.approx(exact, abs=4 * np.sqrt(exact / 100_000))


def test_the_rate_is_that_of_uniform_decisions() -> None:
    world = World(STILL, 3)
    assert world.exact_value(np.full(world.rates.shape, 1 / STILL.creatives)) == pytest.approx(0.1)


def test_shown_creatives_follow_the_probabilities() -> None:
    world, policy = World(STILL, 1), np.array([0.5, 0.3, 0.2, 0, 0, 0, 0, 0])
    log = world.log(lambda situations: np.tile(policy, (len(situations), 1)), 20_000)
    assert np.bincount(log.action, minlength=8) / 20_000 == pytest.approx(policy, abs=0.015)
    assert (log.propensity == policy[log.action]).all()


def test_creatives_wear_out() -> None:
    world = World(Config(rate=0.1, users=10, wear_out=0.1, drift=0.0), 1)
    first, later = world.log(uniform, 1000), world.log(uniform, 1000)
    assert later.contexts.rate.mean() < 0.5 * first.contexts.rate.mean()
    assert world.views.sum() == 2000


def test_a_view_costs_its_share() -> None:
    world = World(Config(users=1, wear_out=0.1, drift=0.0), 1)
    before = world.next_contexts(1)
    world.show(before, np.array([3]), np.array([1.0]))
    same = before.placement[0]
    after = next(now for now in (world.next_contexts(1) for _ in range(50)) if now.placement[0] == same)
    ratio = after.rate[0] / before.rate[0]
    assert ratio == pytest.approx([1, 1, 1, 0.9, 1, 1, 1, 1])


def test_the_base_rate_drifts() -> None:
    world = World(Config(wear_out=0.0, drift=0.5, drift_hours=4.0, per_hour=1000.0), 1)
    log = world.log(uniform, 4000)
    quarters = log.contexts.rate.mean(1).reshape(4, 1000).mean(1)
    assert quarters[:2].min() > 1.5 * quarters[2:].max()


def test_clicks_come_late() -> None:
    log = World(Config(rate=0.5, delay_hours=3.0), 1).log(uniform, 20_000)
    delay = (log.outcome_hour - log.contexts.hour)[log.clicked]
    assert delay.mean() == pytest.approx(3.0, rel=0.05)
    assert np.isnan(log.outcome_hour[~log.clicked]).all()


def test_equal_seeds_make_equal_logs() -> None:
    one, other = (World(Config(), 7).log(uniform, 500).frame() for _ in range(2))
    pd.testing.assert_frame_equal(one, other)
    assert not one["clicked"].equals(World(Config(), 8).log(uniform, 500).frame()["clicked"])


def test_the_log_keeps_the_contract_of_impressions() -> None:
    frame = World(Config(rate=0.2), 1).log(uniform, 300).frame("uniform")
    rows, reasons = contracts.validate(frame, "impressions")
    assert (reasons == "").all()
    assert rows["propensity"].tolist() == [0.125] * 300
    assert rows["clicked"].sum() == rows["outcome_at"].notna().sum() > 0
    assert set(rows["ctx_segment"]) == {"s0", "s1", "s2", "s3"}
    assert len(rows["candidates"][0]) == 8


def test_creatives_enter_and_leave_by_week() -> None:
    world = World(Config(creatives=6, running=4, rotation=2, per_hour=5.0, rate=0.2), 1)
    log = world.log(uniform, 4 * 840)
    week = np.arange(4 * 840) // 840
    running = [[0, 1, 2, 3], [2, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 3]]
    assert [sorted(set(log.action[week == number])) for number in range(4)] == running
    frame = log.frame()
    assert [frame["candidates"][840 * number] for number in range(4)] == [[f"c0{i}" for i in ids] for ids in running]
    assert (log.propensity == 0.25).all()
    assert [np.flatnonzero(log.contexts.rate[week == number].any(0)).tolist() for number in range(4)] == running


def test_a_policy_learnt_from_served_decisions_earns_more() -> None:
    world = World(STILL, 4)
    served: list[Log] = []
    for _ in range(10):
        situations = world.next_contexts(1000)
        served.append(world.serve(situations, uniform(situations)))
    log = concatenate_logs(served)
    cell = log.contexts.segment * STILL.placements + log.contexts.placement
    rates = Rates(cell, log.action, log.reward, STILL.creatives).fit(np.ones(10_000))[cell]
    learnt = np.zeros(world.rates.shape)
    learnt[log.contexts.segment, log.contexts.placement] = np.eye(STILL.creatives)[rates.argmax(1)]
    assert world.exact_value(learnt) > 1.4 * world.exact_value(np.full(learnt.shape, 1 / STILL.creatives))
