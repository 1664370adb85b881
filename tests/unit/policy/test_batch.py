"""Probabilities of many rows equal those of single requests."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.impression_tables import NO_CATEGORIES, dense_probabilities, read_frame

from adloom.data.context import SEPARATOR
from adloom.policy import batch, models
from adloom.policy.feature_space import FeatureSpace
from adloom.policy.scorer import Policy
from adloom.policy.thompson import Variances

names = st.sampled_from(["x", "y", "z", ""])


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.lists(st.tuples(names, names, st.sampled_from("abc")), min_size=2, max_size=30),
    st.sampled_from([0.0, 0.01, 0.2, 0.6]),
    st.integers(0, 99),
    st.booleans(),
)
def test_batch_probabilities_equal_those_of_single_requests(
    rows: list[tuple[str, str, str]], floor: float, seed: int, sampled: bool
) -> None:
    placement, device, creative = zip(*rows, strict=True)
    data = read_frame(
        placement=[p or "none" for p in placement], ctx_device=[d or None for d in device], creative_id=creative
    )
    rng = np.random.default_rng(seed)
    space = FeatureSpace(
        (("placement",), ("placement", "ctx_device")), (("x", "y"), (f"x{SEPARATOR}y", f"y{SEPARATOR}y"))
    )
    known = ("a", "c", "q")
    tables = (floats(rng, 3, 3), floats(rng, 3, 3))
    squares = Variances(floats(rng, 3) ** 2, (tables[0] ** 2, tables[1] ** 2), floats(rng, 2) ** 2)
    policy = Policy(
        known, np.array([0, 1, 1]), ("bags",), floats(rng, 3), space.features, space.values, tables, floats(rng, 2),
        temperature=0.5, floor=floor, variances=squares if sampled else None,
    )  # fmt: skip
    result = dense_probabilities(policy, data)
    for i in range(len(data)):
        offered = data.sets[data.offered[i]]
        context = {name: str(values[i]) for name, values in data.context.items() if values.codes[i] >= 0}
        single = policy.probabilities(context, [data.creatives[j] for j in offered])
        np.testing.assert_allclose(result[i, offered], single, rtol=1e-9)
    np.testing.assert_allclose(result.sum(1), 1, rtol=1e-12)


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_the_size_of_batches_does_not_change_a_bit(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = read_frame(creative_id=["a", "b", "c", "a"] * 5, placement=["x", "y", "y", "z"] * 5, clicked=[*"10010"] * 4)
    policy = models.fit_rates(data, NO_CATEGORIES)
    expected = dense_probabilities(policy, data)
    monkeypatch.setattr(batch, "MAX_CANDIDATES", limit)
    assert dense_probabilities(policy, data).tobytes() == expected.tobytes()
    assert len(list(batch.score_batches(policy, data, np.zeros(20, np.int64)))) == {1: 3, 3: 2, 100: 1}[limit]


def floats(rng: np.random.Generator, *shape: int) -> Any:
    return rng.normal(0, 2, shape).astype(np.float32)
