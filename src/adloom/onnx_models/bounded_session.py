"""
Inference with a deadline, for models that pass their trial and are slow with other input.

ONNX Runtime looks between two operators, each turn of a loop included, whether a run is to end. One single operator
cannot be interrupted.
"""

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adloom.errors import UnavailableError

CHECK = 0.25  # seconds between two looks at what runs


class BoundedSession:
    """An InferenceSession whose runs end after so many seconds."""

    def __init__(self, session: Any, new_options: Callable[[], Any], seconds: float) -> None:
        """Wrap a session; `new_options` makes the RunOptions of a run."""
        self._session, self._new_options, self._seconds = session, new_options, seconds
        self.get_inputs = session.get_inputs

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, Any]) -> Any:
        """Return the outputs of the model. Raises UnavailableError when it takes longer."""
        options = self._new_options()
        number = _watchdog.watch(options, self._seconds)
        try:
            return self._session.run(outputs, inputs, options)
        except Exception as error:
            if options.terminate:
                raise UnavailableError(
                    f"the model was stopped after {self._seconds:g} s; send another request"
                ) from error
            raise
        finally:
            _watchdog.forget(number)


class _Watchdog:
    """A thread that ends runs, started with the first."""

    def __init__(self) -> None:
        self._runs: dict[int, tuple[float, Any]] = {}  # number: when to end it, and how
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, options: Any, seconds: float) -> int:
        """End the run with these options in so many seconds; return a number by which to forget it."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._check, name="inference deadline", daemon=True)
                    self._thread.start()
        number = next(self._numbers)
        self._runs[number] = time.monotonic() + seconds, options
        return number

    def forget(self, number: int) -> None:
        """Let a run be over."""
        del self._runs[number]

    def _check(self) -> None:
        while True:
            time.sleep(CHECK)
            now = time.monotonic()
            for until, options in list(self._runs.values()):
                if now >= until:
                    options.terminate = True


_watchdog = _Watchdog()
