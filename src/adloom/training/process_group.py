"""The processes that train together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class ProcessGroup:
    """The rank of this process and the number of processes."""

    rank: int = 0  # the process of rank 0 writes
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def shard(self, rows: int) -> slice:
        """Return this process's rows of a batch."""
        own = rows // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def broadcast(self, value: Value) -> Value:
        """Return the first process's value in every process."""
        if self.size == 1:
            return value
        from torch import distributed

        box = [value]
        distributed.broadcast_object_list(box)
        return box[0]

    @contextmanager
    def initialized(self) -> Iterator[None]:
        """Connect the processes until the block ends: gloo on CPUs, NCCL on GPUs."""
        if self.size == 1:
            yield
            return
        import torch
        from torch import distributed

        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        try:
            yield
        finally:
            distributed.destroy_process_group()


SINGLE_PROCESS = ProcessGroup()
