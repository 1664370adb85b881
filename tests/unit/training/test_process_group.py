"""Process groups: shards of batches, and the group of a single process."""

import numpy as np
import pytest
from torch import distributed

from adloom.training.process_group import ProcessGroup


@pytest.mark.parametrize(("size", "rows"), [(1, 7), (2, 8), (4, 16)])
def test_shards_are_even_and_cover_the_batch(size: int, rows: int) -> None:
    shards = [np.arange(rows)[ProcessGroup(rank, size).shard(rows)] for rank in range(size)]
    assert {len(shard) for shard in shards} == {rows // size}
    assert np.concatenate(shards).tolist() == list(range(rows))


def test_only_rank_0_is_first() -> None:
    assert [ProcessGroup(rank, 3).first for rank in range(3)] == [True, False, False]


def test_a_single_process_connects_to_nobody() -> None:
    group = ProcessGroup()
    with group.initialized():
        assert not distributed.is_initialized()
        assert group.broadcast({"loss": 1.0}) == {"loss": 1.0}
