"""Inference with a deadline. ONNX Runtime stops between operators, not within one."""

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adloom.errors import UnavailableError

CHECK_SECONDS = 0.25  # between two checks of the running inferences


class BoundedSession:
    """An InferenceSession whose runs stop after some seconds."""

    def __init__(self, session: Any, new_options: Callable[[], Any], seconds: float) -> None:
        """Wrap a session; `new_options` creates the RunOptions of a run."""
        self._session, self._new_options, self._seconds = session, new_options, seconds
        self.get_inputs = session.get_inputs

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, Any]) -> Any:
        """Return the outputs of the model. Raises UnavailableError after the deadline."""
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
    """A thread that stops late runs; the first run starts it."""

    def __init__(self) -> None:
        self._runs: dict[int, tuple[float, Any]] = {}  # number: deadline and options
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, options: Any, seconds: float) -> int:
        """Stop a run after some seconds; return its number for `forget`."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._check, name="inference deadline", daemon=True)
                    self._thread.start()
        number = next(self._numbers)
        self._runs[number] = time.monotonic() + seconds, options
        return number

    def forget(self, number: int) -> None:
        """Stop watching a run."""
        del self._runs[number]

    def _check(self) -> None:
        while True:
            time.sleep(CHECK_SECONDS)
            now = time.monotonic()
            for until, options in list(self._runs.values()):
                if now >= until:
                    options.terminate = True


_watchdog = _Watchdog()
