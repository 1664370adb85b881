"""Users in batches of any size."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pytest

from adloom.audience.segmenter import FEATURES
from adloom.audience.user_table import UserTable, pair_rows, stack_features, take_rows

USERS = pd.DataFrame({name: np.arange(5.0) for name in FEATURES}).assign(user_id=list("abcde"))


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_users_are_taken_from_batches_of_any_size(size: int) -> None:
    def read(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        return (USERS.loc[start : start + size - 1, list(columns)] for start in range(0, len(USERS), size))

    table = UserTable(5, read)
    assert np.concatenate(list(table))[:, 2].tolist() == [0, 1, 2, 3, 4]
    assert table.take(np.array([1, 4]), "user_id", "monetary").to_numpy().tolist() == [["b", 1.0], ["e", 4.0]]


def test_no_users_are_no_features() -> None:
    nobody = UserTable(0, lambda _: iter([]))
    assert stack_features(nobody.take(np.array([], int), *FEATURES)).shape == (0, 5)


def test_batches_meet_their_part_of_an_array() -> None:
    frames = [pd.DataFrame({"x": [1, 2]}), pd.DataFrame({"x": [3]})]
    assert [part.tolist() for _, part in pair_rows(frames, np.array([7, 8, 9]))] == [[7, 8], [9]]
    assert [part["x"].tolist() for part in take_rows(frames, np.array([1, 2]))] == [[2], [3]]
