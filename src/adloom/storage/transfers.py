"""Concurrent transfers with a progress bar."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")

CONCURRENCY = 8  # transfers at a time


def map_concurrently(
    function: Callable[[Item], Result], items: Iterable[Item], description: str, progress: bool
) -> Sequence[Result]:
    """Map items in parallel. After a failure no call starts."""
    pending, failed = [*items], Event()

    def unless_failed(item: Item) -> Result:
        if failed.is_set():
            raise CancelledError  # never visible: the failed call started earlier, so the caller sees its error first
        try:
            return function(item)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        results = pool.map(unless_failed, pending)
        with tqdm(
            results, total=len(pending), unit="file", desc=description, delay=1, disable=not progress
        ) as finished:
            return [*finished]
