"""The policy's figures: PNG, with the same bytes for the same numbers."""

import struct
from collections.abc import Callable

import numpy as np
import pytest

from adloom.policy.figures import draw_lift, draw_rates, draw_shares
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.lift_over_time import LiftPoint

RELIABLE = Estimate(0.02, 0.01, 0.03, 1000, 500.0, 0.1)
UNRELIABLE = Estimate(0.04, 0.0, 0.2, 1000, 2.0, 0.9, "few clicks")


@pytest.mark.parametrize(
    "draw",
    [
        lambda: draw_rates({"log": RELIABLE, "policy": UNRELIABLE}, 0.02, "clicks", True),
        lambda: draw_lift([LiftPoint(np.datetime64("2026-01-01"), 0.01, -0.02, 0.05)]),
        lambda: draw_shares(np.array([0.75, 0.25]), np.array([0.5, 0.5])),
    ],
)
def test_figures_are_reproducible_pictures(draw: Callable[[], bytes]) -> None:
    png = draw()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert draw() == png


def test_a_figure_grows_with_the_policies() -> None:
    few, many = (draw_rates({f"policy {i}": RELIABLE for i in range(n)}, 0.02, "clicks", True) for n in (2, 6))
    heights = [struct.unpack(">I", png[20:24])[0] for png in (few, many)]
    assert heights[0] < heights[1]
