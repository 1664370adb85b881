"""Docker, which only image builds need."""

import shutil
import subprocess
from collections.abc import Iterator

from adloom.doctor.context import DoctorContext
from adloom.doctor.finding import Finding, Kind

SECONDS = 10  # to wait for the engine


def check(context: DoctorContext) -> Iterator[Finding]:
    """Check that the Docker engine answers."""
    client = shutil.which("docker")
    if context.environment == "pod":
        yield Kind.DOCKER_NOT_ASKED("images are not built in a pod")
    elif client is None:
        yield Kind.DOCKER_ABSENT("no docker on PATH, and `make image` needs it", "install Docker to build images here")
    else:
        yield _engine(client)


def _engine(client: str) -> Finding:
    command = [client, "version", "--format", "{{.Server.Version}}"]
    try:
        response = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return _silent(f"no answer in {SECONDS} s")
    if response.returncode != 0 or not response.stdout.strip():
        return _silent(next(iter(response.stderr.strip().splitlines()), f"exit code {response.returncode}"))
    return Kind.DOCKER_OK(f"engine {response.stdout.strip()} answers")


def _silent(why: str) -> Finding:
    return Kind.DOCKER_NO_ENGINE(
        f"no engine answers: {why}", "start one, or name it in DOCKER_HOST, to build images here"
    )
