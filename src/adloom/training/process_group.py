"""The processes that train together: which of them this one is, and what all of them must agree on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

Value = TypeVar("Value")


@dataclass(frozen=True)
class ProcessGroup:
    """One process of those that torchrun started; alone unless it is told otherwise."""

    rank: int = 0  # 0 writes
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, rows: int) -> slice:
        """Return which of the rows of a batch are this process's, which must be shared evenly."""
        own = rows // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def agreed(self, value: Value) -> Value:
        """Return the first process's value in every process."""
        box = [value]
        if self.size > 1:
            distributed.broadcast_object_list(box)
        return box[0]

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Let the processes talk to each other until the block ends; over gloo, and over NCCL what lies on GPUs."""
        if self.size == 1:
            yield
            return
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        try:
            yield
        finally:
            distributed.destroy_process_group()
