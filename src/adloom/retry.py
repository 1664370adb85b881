"""Retries of calls that depend on a network."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from adloom.errors import ExternalServiceError

if TYPE_CHECKING:
    from tenacity import RetryCallState

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

LONG = 10  # seconds; shorter pauses are logged at the debug level

logger = logging.getLogger(__name__)


def is_external(error: Exception, seconds: float) -> bool:
    """Return whether an external service failed."""
    del seconds
    return isinstance(error, ExternalServiceError)


@dataclass(frozen=True)
class RetryPolicy:
    """
    Repeat a call after each pause while its error is transient.

    Policies nest without multiplying: none repeats a call that exhausted another.
    """

    pauses: tuple[float, ...] = (30, 60, 120)  # seconds
    is_transient: Callable[[Exception, float], bool] = is_external  # of an error and the seconds its attempt took
    budget: float = float("inf")  # seconds after the first failure in which another attempt may begin
    sleep: Callable[[float], None] = time.sleep  # SIGTERM ends the process in a pause; the task holds nothing then
    clock: Callable[[], float] = time.monotonic

    def __call__(self, task: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        """Return the task with retries."""

        @wraps(task)
        def with_retries(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            return self.call(partial(task, *args, **kwargs))

        return with_retries

    def call(self, function: Callable[[], Result]) -> Result:
        """Call a function with retries."""
        from tenacity import Retrying

        attempts = _Attempts(self)
        retrying = Retrying(
            before=attempts.begin,
            retry=attempts.is_transient,
            wait=attempts.pause,
            stop=attempts.are_over,
            before_sleep=attempts.log,
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return retrying(function)
        except ExternalServiceError as error:
            error.is_final = True
            raise


class _Attempts:
    """The attempts of one call, as tenacity asks about them."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._began = 0.0
        self._deadline = float("inf")

    def begin(self, _: "RetryCallState") -> None:
        self._began = self._policy.clock()

    def is_transient(self, state: "RetryCallState") -> bool:
        error = state.outcome and state.outcome.exception()
        if not isinstance(error, Exception) or getattr(error, "is_final", False):
            return False
        now = self._policy.clock()
        self._deadline = min(self._deadline, now + self._policy.budget)
        return self._policy.is_transient(error, now - self._began)

    def pause(self, state: "RetryCallState") -> float:
        return (*self._policy.pauses, 0)[state.attempt_number - 1]

    def are_over(self, state: "RetryCallState") -> bool:
        is_last = state.attempt_number > len(self._policy.pauses)
        return is_last or self._policy.clock() + state.upcoming_sleep > self._deadline

    def log(self, state: "RetryCallState") -> None:
        error, pause = state.outcome and state.outcome.exception(), state.upcoming_sleep
        level = logging.WARNING if pause >= LONG else logging.DEBUG
        number, total = state.attempt_number + 1, len(self._policy.pauses) + 1
        logger.log(level, "%s; try %d of %d in %g seconds", error, number, total, pause)


RETRY = RetryPolicy()
