"""Repeated tries of a task inside its pod, while a service outside fails."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from adloom.errors import ExternalServiceError

Given = ParamSpec("Given")
Made = TypeVar("Made")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """
    Retry a task after each pause while it raises ExternalServiceError. Other errors end it at once.

    Policies nest without multiplying: an error that one has given up on is not tried again by another.
    """

    pauses: tuple[float, ...] = (30, 60, 120)  # seconds
    sleep: Callable[[float], None] = time.sleep  # SIGTERM ends the process in a pause, for the task holds nothing then

    def __call__(self, task: Callable[Given, Made]) -> Callable[Given, Made]:
        """Return the task with its repeated tries."""

        @wraps(task)
        def repeated(*args: Given.args, **kwargs: Given.kwargs) -> Made:
            for number, pause in enumerate((*self.pauses, None), 2):
                try:
                    return task(*args, **kwargs)
                except ExternalServiceError as error:
                    if pause is None or error.is_final:
                        error.is_final = True
                        raise
                    logger.warning("%s; try %d of %d in %g seconds", error, number, len(self.pauses) + 1, pause)
                self.sleep(pause)
            raise AssertionError("the last try returns or raises")

        return repeated


RETRY = RetryPolicy()
