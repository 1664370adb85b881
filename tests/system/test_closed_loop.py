"""The loop of the demo, in a small world: a real service, its log, the gate, a swap and a measured lift."""

import re
from pathlib import Path

import pytest
from tests.support import worlds

from adloom.cli import closed_loop
from adloom.config import params
from adloom.config.params import Params
from adloom.context import StageContext
from adloom.registry.verdict import Outcome
from adloom.world.adworld import AdWorld

SHIPPED = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Params:
    """The shipped params, for a loop of few impressions in an easy world."""

    def open_adworld(store: object, seed: int) -> AdWorld:
        return worlds.small_world(seed, worlds.EASY)

    monkeypatch.setattr(closed_loop, "open_adworld", open_adworld)
    monkeypatch.setattr(closed_loop, "EXPLORED", 3000)
    monkeypatch.setattr(closed_loop, "MEASURED", 300)
    return params.load(SHIPPED)


@pytest.mark.slow
def test_a_policy_learned_from_uniform_decisions_is_promoted_swapped_in_and_earns(
    loaded: Params, context: StageContext
) -> None:
    first, second = closed_loop.close_loop(loaded, context)
    assert re.fullmatch(r"  3,000 uniform decisions: click rate \d+\.\d%; the gate promotes a policy, .*", first), first
    lift = re.fullmatch(r"  300 decisions after the swap, 100% by the policy: .*; lift ([+-]\d+)%", second)
    assert lift, second
    assert int(lift[1]) > 20
    assert closed_loop.close_loop(loaded, context) == [first, second]  # without another run


def test_a_policy_that_is_held_is_described_by_its_reason() -> None:
    outcome = Outcome("policy", 1, "hold", ["click_rate against the log: not enough evidence"], None)
    line = closed_loop.describe_gate(0.05, outcome, None)
    assert line.endswith("click rate 5.0%; the gate holds the policy: click_rate against the log: not enough evidence")
