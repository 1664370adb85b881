"""Groups of equal rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adloom.policy.row_groups import group_rows


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=30))
def test_equal_rows_share_a_group_in_the_order_of_their_first(rows: list[tuple[int, int]]) -> None:
    group, first = group_rows([np.array([row[i] for row in rows], np.int64) for i in range(2)])
    distinct = list(dict.fromkeys(rows))
    assert group.tolist() == [distinct.index(row) for row in rows]
    assert [rows[i] for i in first] == distinct
    assert first.tolist() == [rows.index(row) for row in distinct]
