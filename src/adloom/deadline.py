"""Deadlines for calls that cannot be interrupted. A late thread is abandoned."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, Generic, TypeVar

from adloom.errors import UnavailableError

REMINDER = 10.0  # seconds between log lines about a slow call

T = TypeVar("T")

logger = logging.getLogger(__name__)
_running: "set[Future[Any]]" = set()


def start_call(function: Callable[[], T]) -> "Future[T]":
    """Call a function in a daemon thread."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            value = function()
        except BaseException as error:  # noqa: BLE001 - raised again where the result is read
            _running.discard(future)
            future.set_exception(error)
        else:
            _running.discard(future)
            future.set_result(value)

    future.set_running_or_notify_cancel()  # from here on cancel() has no effect, and the thread may set the result
    _running.add(future)
    threading.Thread(target=run, daemon=True).start()
    return future


class TimedCall(Generic[T]):
    """A running call with a deadline."""

    def __init__(self, seconds: float, what: str, function: Callable[[], T]) -> None:
        """Start the call; `what` names it in messages."""
        self._seconds, self._what = seconds, what
        self._start = time.monotonic()
        self._future = start_call(function)

    def result(self) -> T:
        """Return the result or raise the error. Raises UnavailableError after the deadline."""
        while not self._future.done():
            waited = time.monotonic() - self._start
            if waited >= self._seconds:
                raise UnavailableError(f"{self._what}: no whole answer within {self._seconds:g} s")
            if waited >= REMINDER:
                logger.warning("still waiting for %s, %.0f s so far", self._what, waited)
            wait([self._future], min(self._seconds - waited, REMINDER))
        return self._future.result()


def call_within(seconds: float, what: str, function: Callable[[], T]) -> T:
    """Return the result of a function. Raises UnavailableError after so many seconds."""
    return TimedCall(seconds, what, function).result()


def is_call_running() -> bool:
    """Return whether a call is running, possibly an abandoned one."""
    return bool(_running)
