"""Concurrent transfers: order, bound, and the end after a failure."""

import threading

import pytest

from adloom.storage.transfers import CONCURRENCY, map_concurrently


def test_results_are_in_the_order_of_the_items() -> None:
    assert map_concurrently(lambda n: n * n, range(100), "squares", progress=False) == [n * n for n in range(100)]


def test_no_more_calls_run_at_a_time_than_allowed() -> None:
    barrier, lock, running, most = threading.Barrier(CONCURRENCY, timeout=20), threading.Lock(), [0], [0]

    def call(_: int) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        barrier.wait()
        with lock:
            running[0] -= 1

    map_concurrently(call, range(3 * CONCURRENCY), "calls", progress=False)
    assert most == [CONCURRENCY]


def test_after_a_failure_no_call_starts() -> None:
    started = list[int]()

    def fail(item: int) -> None:
        started.append(item)
        raise OSError(f"item {item}")

    with pytest.raises(OSError, match="item"):
        map_concurrently(fail, range(1000), "failures", progress=False)
    assert len(started) <= CONCURRENCY
