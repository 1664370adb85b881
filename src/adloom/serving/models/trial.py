"""Test a new model in a separate process with limited time and memory."""

import contextlib
import math
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from adloom.config.models import MODELS
from adloom.errors import ArtifactError, ExternalServiceError
from adloom.serving.models import helper_process
from adloom.serving.models.helper_process import HelperProcess, HelperTimeoutError
from adloom.storage import manifest

START_TIMEOUT = 60.0  # seconds for the imports of the process
RETRY_AFTER = 600.0  # seconds until a failed model is tried again; the machine may have been busy
MEBIBYTE = 1 << 20


class TrialProcess:
    """Tries artifacts, one at a time."""

    def __init__(self, threads: int, seconds: float, megabytes: int) -> None:
        self._seconds, self._megabytes = seconds, megabytes
        self._helper = HelperProcess("adloom.serving.models.trial", str(threads), str(seconds), str(megabytes))
        self._failures: dict[str, tuple[float, str]] = {}  # digest: time, reason

    def __call__(self, model: str, folder: Path) -> None:
        """Try a model. Raises ArtifactError when it fails or failed lately."""
        digest = manifest.digest(folder)
        since, reason = self._failures.pop(digest, (-math.inf, ""))
        if time.monotonic() - since >= RETRY_AFTER:
            since, reason = time.monotonic(), self._find_fault(model, folder)
        if reason:
            self._failures[digest] = since, reason
            raise ArtifactError(reason)

    def stop(self) -> None:
        """Kill the process until the next trial."""
        self._helper.stop()

    def close(self) -> None:
        """Kill the process for good."""
        self._helper.close()

    def _find_fault(self, model: str, folder: Path) -> str:
        """Return why a model fails, or an empty text."""
        self._helper.request(None, START_TIMEOUT)
        try:
            return str(self._helper.request({"model": model, "folder": str(folder)}, self._seconds))
        except HelperTimeoutError:
            cause, setting = f"takes over {self._seconds:g} s", "ADLOOM_TRIAL_SECONDS"
        except ExternalServiceError as error:
            cause, setting = f"fails: {error}; over {self._megabytes} MiB of memory?", "ADLOOM_TRIAL_MB"
        return f"{folder}: its trial {cause}; train it again, or raise {setting}"


def main() -> None:
    """Answer a model and its folder with the reason why it cannot serve."""
    threads, seconds, megabytes = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    from adloom.serving.models import loader

    cpu = math.ceil(len(MODELS) * (threads + 1) * seconds + START_TIMEOUT)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))  # ends the process when the service cannot
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(
            "1000", encoding="ascii"
        )  # the kernel kills this process before the service

    def try_model(request: Mapping[str, str] | None) -> str:
        if request is None:
            return ""
        _limit_memory(megabytes)
        return loader.find_fault(request["model"], Path(request["folder"]), threads)

    helper_process.answer_requests(try_model)


def _limit_memory(megabytes: int) -> None:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    used = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))  # KiB
    limit, (_, hard) = used * 1024 + megabytes * MEBIBYTE, resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


if __name__ == "__main__":
    main()
