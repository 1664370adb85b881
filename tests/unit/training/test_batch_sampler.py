"""The order of the training rows: even use, reproducible, shared by processes."""

from collections import Counter

import numpy as np

from adloom.config.training import Training
from adloom.training.batch_sampler import BatchSampler
from adloom.training.process_group import ProcessGroup

PARAMS = Training(epochs=4, steps_per_epoch=3, batch_size=16, learning_rate=0.1, threads=1)


def test_an_order_uses_every_row_equally_often() -> None:
    order = BatchSampler(12, PARAMS)  # 4 epochs of 48 rows: 16 times each
    counts: Counter[int] = Counter()
    for epoch in range(PARAMS.epochs):
        order.set_epoch(epoch)
        batches = list(order)
        assert [len(batch) for batch in batches] == [16] * len(order)
        counts.update(np.concatenate(batches).tolist())
    assert counts == dict.fromkeys(range(12), 16)


def test_an_order_depends_on_seed_and_epoch_alone() -> None:
    def batches(seed: int, epoch: int) -> list[list[int]]:
        order = BatchSampler(50, PARAMS.model_copy(update={"seed": seed}))
        order.set_epoch(epoch)
        return [batch.tolist() for batch in order]

    assert batches(1, 2) == batches(1, 2)
    assert batches(1, 2) != batches(1, 3)
    assert batches(1, 2) != batches(2, 2)


def test_processes_share_every_batch_and_leave_out_no_row() -> None:
    whole = [batch.tolist() for batch in BatchSampler(50, PARAMS)]
    shares = [[batch.tolist() for batch in BatchSampler(50, PARAMS, ProcessGroup(rank, 4))] for rank in range(4)]
    assert [[row for part in parts for row in part] for parts in zip(*shares, strict=True)] == whole
    assert {len(part) for share in shares for part in share} == {4}
