"""Heavy requests to the creatives do not hold up decisions and probes of the same process."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import httpx
import numpy as np
import pytest
from tests.support.decision_logs import wait_until
from tests.support.http_client import encode, png
from tests.support.tiny_models import write_models

from adloom.ads.placements import IAB
from adloom.serving.api.ads_schemas import MAKE_ADS
from adloom.serving.api.decide_schemas import DECIDE
from adloom.serving.api.schemas import GENERATE, MAX_PICTURES, READ, WRITE
from adloom.serving.client import serving
from adloom.serving.metrics import IN_FLIGHT

pytestmark = pytest.mark.slow

LARGE = encode(png(np.zeros((2000, 2000, 3), np.uint8)))
HEAVY: dict[str, dict[str, Any]] = {
    GENERATE: {"category": "Bag", "n": 64},
    WRITE: {"n": 64},
    READ: {"pictures": [LARGE] * MAX_PICTURES},
    MAKE_ADS: {"category": "Bag", "n": 1, "sizes": [placement.name for placement in IAB]},
}
DECISION = {"placement": "top", "candidates": ["creative-0", "creative-1"]}
MAX_SECONDS = 0.5  # of the median of what takes milliseconds; a heavy request takes seconds


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving("--models", str(write_models(tmp_path_factory.mktemp("models")))) as url:
        yield url


def repeat(url: str, path: str, stopped: threading.Event) -> set[int]:
    """Send a heavy request again and again; return the statuses."""
    statuses = set()
    with httpx.Client(timeout=60) as client:
        while not stopped.is_set():
            statuses.add(client.post(url + path, json=HEAVY[path]).status_code)
    return statuses


def time_light(client: httpx.Client) -> list[float]:
    """Return the seconds of a decision and of both probes."""
    seconds = []
    for method, path, body in (("POST", DECIDE, DECISION), ("GET", "/livez", None), ("GET", "/readyz", None)):
        start = time.monotonic()
        assert client.request(method, path, json=body).status_code == 200
        seconds.append(time.monotonic() - start)
    return seconds


def count_in_flight(client: httpx.Client) -> float:
    (line,) = (line for line in client.get("/metrics").text.splitlines() if line.startswith(IN_FLIGHT))
    return float(line.split()[-1])


def test_decisions_and_probes_are_answered_during_heavy_requests(url: str) -> None:
    stopped = threading.Event()
    with ThreadPoolExecutor(2 * len(HEAVY)) as pool, httpx.Client(base_url=url, timeout=60) as client:
        loads = [pool.submit(repeat, url, path, stopped) for path in [*HEAVY] * 2]
        try:
            wait_until(lambda: count_in_flight(client) >= len(HEAVY))
            rounds = [time_light(client) for _ in range(40)]
        finally:
            stopped.set()
    assert [load.result() for load in loads] == [{200}] * len(loads)
    assert all(median(column) < MAX_SECONDS for column in zip(*rounds, strict=True))
