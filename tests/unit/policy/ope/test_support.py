"""Actions that the log lacks."""

import numpy as np
import pytest

from adloom.policy.ope.support import measure_support


def test_support_by_place() -> None:
    action, location = np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1])
    probabilities = np.array([[0.5, 0.5], [0.5, 0.5], [0.25, 0.75], [0.25, 0.75]])
    assert measure_support(action, probabilities, ["x", "y"]).unsupported_actions == {}
    result = measure_support(action, probabilities, ["x", "y"], location)
    assert result.unsupported_actions == {"x": pytest.approx(0.125)}  # at place 1, half of the rows, with a quarter
    assert result.unsupported == pytest.approx(0.125)
    assert str(measure_support(action, probabilities, ["x", "y"])) == "the log has every action of the policy"
