"""Compare images with their limits: megabytes over the base image, seconds from `docker run` to /readyz.

    adloom run && make image && python benchmarks/images.py

Readiness is the slowest of five starts with the folder `models`, a read-only root and no capabilities.
"""

import os
import shutil
import subprocess
import sys
import time
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

DOCKER = os.environ.get("DOCKER", "docker")
MEGABYTES = {"adloom-train": 2600, "adloom-serve": 650}  # over the base image, at most
SECONDS = 6.0  # until /readyz answers, at most
STARTS = 5
LOCKED = ("--read-only", "--user", "10001", "--cap-drop", "ALL")


def docker(*arguments: str) -> str:
    """Return the output of a docker command; raise RuntimeError with it on failure."""
    done = subprocess.run([DOCKER, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def measure_megabytes(image: str) -> float:
    """Return the size of an image minus its base, which a label names."""
    base = docker(
        "image", "inspect", "--format", '{{index .Config.Labels "org.opencontainers.image.base.name"}}', image
    )
    whole, below = (int(docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (image, base))
    return (whole - below) / 1e6


def get_url(container: str) -> str:
    """Return the URL of a container's port 3000 on this host."""
    return "http://" + docker("port", container, "3000/tcp").splitlines()[0]


def measure_seconds(models: Path) -> float:
    """Return the seconds from `docker run` until the service is ready."""
    start = time.perf_counter()
    mounted = (
        "--env",
        "ADLOOM_AUTH=off",
        "--publish",
        "127.0.0.1::3000",
        "--volume",
        f"{models.resolve()}:/work/models:ro",
    )
    container = docker("run", "--detach", *LOCKED, *mounted, "adloom-serve")
    try:
        url = get_url(container) + "/readyz"
        while not answers(url):
            docker("top", container)  # fails when the container has ended
            time.sleep(0.02)
        return time.perf_counter() - start
    finally:
        docker("rm", "--force", "--volumes", container)


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=SECONDS):
            return True
    except (OSError, HTTPException):
        return False


def engine() -> bool:
    """Return whether a Docker engine answers."""
    return (
        bool(shutil.which(DOCKER)) and not subprocess.run([DOCKER, "info"], capture_output=True, check=False).returncode
    )


def main() -> None:
    if not engine():
        print("images: no Docker engine answers, so nothing is measured")
        return
    models = Path(sys.argv[1] if sys.argv[1:] else "models")
    rows: list[tuple[str, float, float]] = []
    rows += [(f"{image}: MB over its base", limit, measure_megabytes(image)) for image, limit in MEGABYTES.items()]
    rows += [("adloom-serve: seconds to /readyz", SECONDS, max(measure_seconds(models) for _ in range(STARTS)))]
    print(f"{'what':34} {'bar':>8} {'seen':>8} {'ratio':>7}")
    for measure, limit, measured in rows:
        print(f"{measure:34} {limit:8.1f} {measured:8.1f} {measured / limit:7.2f}")


if __name__ == "__main__":
    main()
