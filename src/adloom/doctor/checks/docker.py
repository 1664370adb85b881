"""Docker, which only the making of images needs."""

import shutil
import subprocess
from collections.abc import Iterator

from adloom.doctor.context import DoctorContext
from adloom.doctor.finding import Finding, Kind

SECONDS = 10  # that the engine is waited for


def check(context: DoctorContext) -> Iterator[Finding]:
    """Ask the client for the version of its engine."""
    client = shutil.which("docker")
    if context.environment == "pod":
        yield Kind.DOCKER_NOT_ASKED("images are not made in a pod")
    elif client is None:
        yield Kind.DOCKER_ABSENT("no docker on PATH, and `make image` needs it", "install Docker to make images here")
    else:
        yield _engine(client)


def _engine(client: str) -> Finding:
    command = [client, "version", "--format", "{{.Server.Version}}"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return _silent(f"no answer in {SECONDS} s")
    if asked.returncode != 0 or not asked.stdout.strip():
        return _silent(next(iter(asked.stderr.strip().splitlines()), f"exit code {asked.returncode}"))
    return Kind.DOCKER_OK(f"engine {asked.stdout.strip()} answers")


def _silent(why: str) -> Finding:
    return Kind.DOCKER_NO_ENGINE(
        f"no engine answers: {why}", "start one, or name it in DOCKER_HOST, to make images here"
    )
