"""The search spaces fit the params of their stages."""

from pathlib import Path

import pytest

from adloom.config import params
from adloom.training.loop import MONITOR
from adloom.tuning.spaces import SPACES, SearchSpace

LOADED = params.load(Path(__file__).parents[3] / "params.yaml")


@pytest.mark.parametrize("stage", SPACES)
def test_a_space_has_valid_params_and_the_shipped_ones(stage: str) -> None:
    block = LOADED.trainings[stage]
    for name, distribution in SPACES[stage].params.items():
        bounds = getattr(distribution, "choices", None) or (distribution.low, distribution.high)  # type: ignore[attr-defined]
        for value in bounds:
            type(block).model_validate(block.model_dump() | {name: value})
        assert min(bounds) <= getattr(block, name) <= max(bounds)


def test_the_objective_is_what_early_stopping_watches() -> None:
    assert SearchSpace({}).objective == MONITOR
