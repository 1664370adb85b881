"""Sums per group that do not depend on the order of rows, or on how they are split into batches."""

from collections.abc import Iterable

import numpy as np

from adloom.arrays import Float64Array, IntegerArray, ObjectArray

_UNIT = 2.0**60  # values are rounded to multiples of its inverse
_DIGIT = 2.0**32  # the base of the sums: those of 2**21 digits are exact as floats


def sum_groups(batches: Iterable[tuple[Float64Array, IntegerArray]], groups: int, columns: int) -> Float64Array:
    """Return the sums (groups, columns) of batches of values (rows, columns), each with the groups of its rows."""
    total = np.zeros((groups, columns), object)
    for values, group in batches:
        for column in range(columns):
            total[:, column] += _sum_exactly(np.rint(values[:, column] * _UNIT), group, groups)
    return np.asarray(total / _UNIT, np.float64)


def _sum_exactly(values: Float64Array, group: IntegerArray, groups: int) -> ObjectArray:
    """Return the sums of whole numbers as Python's integers (groups,)."""
    total, power = np.zeros(groups, object), 1
    while values.any():
        digit = np.fmod(values, _DIGIT)
        sums = np.bincount(group, digit, groups)
        total += np.array([int(part) * power for part in sums.tolist()], object)
        values, power = (values - digit) / _DIGIT, power * int(_DIGIT)
    return total
