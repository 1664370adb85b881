"""Deadlines for calls that cannot be interrupted: a thread makes the call, and is left behind when it is late."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, Generic, TypeVar

from adloom.errors import UnavailableError

REMIND = 10.0  # seconds after which the log says what is still waited for

T = TypeVar("T")

logger = logging.getLogger(__name__)
_running: "set[Future[Any]]" = set()


def start_call(function: Callable[[], T]) -> "Future[T]":
    """Call a function in a daemon thread of its own, which does not keep the process from ending."""
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

    _running.add(future)
    threading.Thread(target=run, daemon=True).start()
    return future


class TimedCall(Generic[T]):
    """A call that was begun, and must end in time."""

    def __init__(self, seconds: float, what: str, function: Callable[[], T]) -> None:
        """Begin the call; `what` names it in the log and in the error."""
        self._seconds, self._what = seconds, what
        self._began = time.monotonic()
        self._future = start_call(function)

    def result(self) -> T:
        """Return the result or raise the error of the call. Raises UnavailableError when it is too late."""
        while not self._future.done():
            waited = time.monotonic() - self._began
            if waited >= self._seconds:
                raise UnavailableError(f"{self._what}: no whole answer within {self._seconds:g} s")
            if waited >= REMIND:
                logger.warning("still waiting for %s, %.0f s so far", self._what, waited)
            wait([self._future], min(self._seconds - waited, REMIND))
        return self._future.result()


def call_within(seconds: float, what: str, function: Callable[[], T]) -> T:
    """Return what a call returns. Raises UnavailableError when it takes longer than so many seconds."""
    return TimedCall(seconds, what, function).result()


def is_call_running() -> bool:
    """Return whether a call still runs in this process; one that was left behind may run for ever."""
    return bool(_running)
