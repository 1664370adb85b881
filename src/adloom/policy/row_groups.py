"""Groups of rows with equal values."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, Int64Array


def group_rows(columns: Sequence[AnyArray]) -> tuple[Int64Array, Int64Array]:
    """Return each row's group (rows,) and each group's first row (groups,), in row order; columns hold small counts."""
    group = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        group = pd.factorize(group * (int(column.max(initial=0)) + 1) + column)[0].astype(np.int64)
    first = np.zeros(int(group.max(initial=-1)) + 1, np.int64)
    first[group[::-1]] = np.arange(len(group))[::-1]  # the last assignment counts
    return group, first
