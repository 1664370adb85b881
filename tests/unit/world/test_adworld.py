"""A world's parts belong together."""

import numpy as np
from tests.support.worlds import SMALL, small_world


def test_users_of_the_world_are_those_who_buy() -> None:
    adworld = small_world()
    assert adworld.world.segment_of is adworld.purchases.segment_of
    assert len(np.unique(adworld.purchases.user)) == SMALL.users
    assert len(adworld.running.ids) == SMALL.creatives == adworld.world.rates.shape[2]
    assert {*adworld.running.ids} < {*adworld.creatives.ids}


def test_uniform_decisions_have_the_configured_rate() -> None:
    world = small_world().world
    np.testing.assert_allclose(world.exact_value(np.full(world.rates.shape, 1 / SMALL.creatives)), SMALL.rate)


def test_another_seed_is_another_world() -> None:
    one, same, other = small_world(1), small_world(1), small_world(2)
    np.testing.assert_array_equal(one.world.rates, same.world.rates)
    assert one.running.ids == same.running.ids != other.running.ids
