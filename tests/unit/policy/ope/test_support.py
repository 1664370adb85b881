"""Actions that the log lacks."""

import numpy as np
import pytest

from adloom.policy.ope.support import measure_support


def test_the_actions_that_the_log_lacks_are_named_by_their_probability() -> None:
    result = measure_support(np.array([0.0, 0.1, 0.2]), ["x", "y", "z"])
    assert list(result.unsupported_actions.items()) == [("z", 0.2), ("y", 0.1)]
    assert result.unsupported == pytest.approx(0.3)
    assert str(result) == "the log lacks z (20.0%), y (10.0%) with 30.0% of the policy's probability"
    assert str(measure_support(np.zeros(2), ["x", "y"])) == "the log has every action of the policy"
