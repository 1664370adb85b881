"""
Trials of new models in a process of their own, which has little time and memory, so that a bad one harms nobody.

A model that passed is opened by the service itself. One that failed is not tried again for a while.
"""

import contextlib
import math
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from adloom.config.models import MODELS
from adloom.errors import ArtifactError, ExternalServiceError
from adloom.serving.models import helper
from adloom.serving.models.helper import HelperProcess, NoAnswerInTimeError
from adloom.storage import manifest

STARTING = 60.0  # seconds for the process to import what it needs
AGAIN = 600.0  # seconds until a model that failed is tried again: the machine may have been busy
MEBIBYTE = 1 << 20


class TrialProcess:
    """Tries artifacts, one at a time."""

    def __init__(self, threads: int, seconds: float, megabytes: int) -> None:
        self._seconds, self._megabytes = seconds, megabytes
        self._helper = HelperProcess("adloom.serving.models.trial", str(threads), str(seconds), str(megabytes))
        self._failed: dict[str, tuple[float, str]] = {}  # digest: when, and why

    def __call__(self, model: str, folder: Path) -> None:
        """Try a model's artifact. Raises ArtifactError when it fails, or failed lately."""
        digest = manifest.digest(folder)
        since, reason = self._failed.pop(digest, (-math.inf, ""))
        if time.monotonic() - since >= AGAIN:
            since, reason = time.monotonic(), self._try(model, folder)
        if reason:
            self._failed[digest] = since, reason
            raise ArtifactError(reason)

    def stop(self) -> None:
        """End the process until the next trial."""
        self._helper.stop()

    def close(self) -> None:
        """End the process for good, also in the middle of a trial."""
        self._helper.close()

    def _try(self, model: str, folder: Path) -> str:
        """Return why a model fails, nothing when it does not. Raises ExternalServiceError when it cannot be tried."""
        self._helper.ask(None, STARTING)
        try:
            return str(self._helper.ask({"model": model, "folder": str(folder)}, self._seconds))
        except NoAnswerInTimeError:
            why, setting = f"takes over {self._seconds:g} s", "ADLOOM_TRIAL_SECONDS"
        except ExternalServiceError as error:
            why, setting = f"fails: {error}; over {self._megabytes} MiB of memory?", "ADLOOM_TRIAL_MB"
        return f"{folder}: its trial {why}; train it again, or raise {setting}"


def main() -> None:
    """Answer each line, a model and its folder, with why it cannot serve or an empty text."""
    threads, seconds, megabytes = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    from adloom.serving.models import loader

    cpu = math.ceil(len(MODELS) * (threads + 1) * seconds + STARTING)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))  # should nobody be left to end it
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # the kernel ends this process before the service

    def attempt(asked: Mapping[str, str] | None) -> str:
        if asked is None:
            return ""
        _limit_memory(megabytes)
        return loader.find_fault(asked["model"], Path(asked["folder"]), threads)

    helper.answer(attempt)


def _limit_memory(megabytes: int) -> None:
    """Let this process take so much memory beside what it has."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    has = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))  # KiB
    limit, (_, hard) = has * 1024 + megabytes * MEBIBYTE, resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


if __name__ == "__main__":
    main()
