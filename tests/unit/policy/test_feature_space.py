"""Features of impressions and their values."""

from tests.support.impression_tables import read_frame

from adloom.data.context import SEPARATOR
from adloom.policy.feature_space import FeatureSpace


def test_features_are_the_columns_there_are_and_rare_values_are_unknown() -> None:
    data = read_frame(
        creative_id=["a", "b"] * 500, placement=["x"] * 500 + ["y"] * 500, position=[1, 2] * 500,
        ctx_device=["watch", *["phone"] * 999],
    )  # fmt: skip
    space = FeatureSpace.from_impressions(data)
    assert space.features == (("placement",), ("ctx_device",), ("placement", "position"))
    assert space.values[:2] == (("x", "y"), ("phone",))
    assert space.values[2] == tuple(SEPARATOR.join(pair) for pair in ("x1", "x2", "y1", "y2"))
    assert [rows[0].item() for rows in space.row_indices(data)] == [1, 0, 1]
