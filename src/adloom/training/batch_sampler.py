"""The order of the training rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from adloom.arrays import Int64Array
from adloom.config.training import Training
from adloom.training.process_group import SINGLE_PROCESS, ProcessGroup


class BatchSampler(Sampler[Any]):
    """
    Row numbers of each batch of an epoch: permutations of all rows, concatenated and cut into batches.

    Every row is used equally often. A process of a group gets its share of each batch.
    """

    def __init__(self, rows: int, params: Training, group: ProcessGroup = SINGLE_PROCESS) -> None:
        self.rows, self.seed, self.shard = rows, params.seed, group.shard(params.batch_size)
        self.steps, self.batch = params.steps_per_epoch, params.batch_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this, also when it resumes."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Int64Array]:
        start = self.epoch * self.steps * self.batch
        stop = start + self.steps * self.batch
        first, last = start // self.rows, (stop - 1) // self.rows
        generators = (np.random.default_rng([self.seed, number]) for number in range(first, last + 1))
        stream = np.concatenate([generator.permutation(self.rows) for generator in generators])
        offset = first * self.rows
        yield from stream[start - offset : stop - offset].reshape(self.steps, self.batch)[:, self.shard]
