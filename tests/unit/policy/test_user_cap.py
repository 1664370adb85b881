"""One user's clicks weigh at most their share, and the world's bots neither make nor stop a promotion."""

from datetime import timedelta

import numpy as np
import pytest
from tests.support.simulated_logs import UNIFORM

from adloom.arrays import Int64Array
from adloom.config.audience import TrainPolicy
from adloom.policy.impressions import Impressions, read_impressions
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.promotion_test import Lift, decide_lift
from adloom.policy.user_cap import cap_users, find_factors
from adloom.world.simulator import Config, World

ROWS = 12_000
SHARE = TrainPolicy().max_user_share


def simulate(seed: int, spread: float) -> tuple[World, Impressions]:
    """Return a world in which one bot has about half of all clicks, and its log of uniform decisions."""
    config = Config(
        rate=0.05, segments=3, placements=2, creatives=5, wear_out=0.0, spread=spread, delay_hours=0.01,
        bots=1, bot_share=0.5, bot_rate=0.25,
    )  # fmt: skip
    world = World(config, seed)
    frame = world.log(lambda now: now.look_up(UNIFORM), ROWS).frame()
    return world, read_impressions(lambda _: [frame], timedelta(hours=1))[0]


def share_of_largest_user(data: Impressions) -> float:
    clicks = Clusters(data.weight, data.user).sum_by_user(data.reward)
    return float(clicks.max() / clicks.sum())


def judge(data: Impressions, favourite: Int64Array) -> Lift:
    """Judge a policy that shows each segment's and placement's favourite in 9 of 10 cases, against the log."""
    segment, placement = (data.context[name].codes for name in ("segment", "placement"))
    target = np.where(data.shown == favourite[segment, placement], 0.9, 0.025)
    return decide_lift(
        data.reward, data.propensity, target, data.propensity, loss=1.0, clusters=Clusters(data.weight, data.user)
    )


def test_a_user_with_half_of_the_clicks_keeps_its_share() -> None:
    _, data = simulate(1, 0.0)
    assert share_of_largest_user(data) > 0.4
    capped, users = cap_users(data, SHARE)
    assert users == 1
    assert share_of_largest_user(capped) == pytest.approx(SHARE)
    assert (capped.weight[capped.user != capped.user[capped.weight < 1][0]] == 1).all()


def test_two_heavy_users_have_a_share_each() -> None:
    _, data = simulate(1, 0.0)
    user = np.where(np.arange(len(data)) % 2, 0, np.where(data.user == data.user.max(), 1, data.user + 2))
    heavy = Impressions(**{**vars(data), "user": user.astype(np.int32)})
    capped, users = cap_users(heavy, SHARE)
    clicks = np.sort(Clusters(capped.weight, capped.user).sum_by_user(capped.reward))[::-1] / (
        (capped.reward * capped.weight).sum()
    )
    assert clicks[:users] == pytest.approx([SHARE] * users)
    assert clicks[users:].max() < SHARE


def test_users_without_many_clicks_and_unknown_users_are_left_alone() -> None:
    _, data = simulate(1, 0.0)
    few = data.select(slice(40))
    assert cap_users(few, 0.01) == (few, 0)
    unknown = Impressions(**{**vars(data), "user": np.full(len(data), -1, np.int32)})
    assert cap_users(unknown, SHARE) == (unknown, 0)


def test_users_who_have_all_rewards_get_equal_ones() -> None:
    rewards = np.array([100.0, 20.0, 10.0])
    assert find_factors(rewards, rewards, 130.0, SHARE) == pytest.approx([0.1, 0.5, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_bot_neither_stops_nor_makes_a_promotion(seed: int) -> None:
    world, liked = simulate(seed, 0.8)  # people like the policy's creatives
    best = world.rates.argmax(2)
    assert judge(liked, best).finding.startswith("one user has ")
    assert judge(cap_users(liked, SHARE)[0], best).verdict == "promote"
    _, indifferent = simulate(seed, 0.0)
    bot = np.bincount(indifferent.user, indifferent.reward).argmax()
    people = indifferent.select(np.flatnonzero(indifferent.user != bot))
    of_bot = np.zeros((3, 2), np.int64)  # the creative that the bot clicks on
    assert judge(cap_users(indifferent, SHARE)[0], of_bot).verdict == judge(people, of_bot).verdict
