"""Threads: one number for every library, whether it was loaded before or is loaded later."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adloom import threads

LIMITS = [[1, 0], [3, 1]]  # of all libraries, and of BLAS
SCRIPT = """
import json, os, sys
from adloom import threads

for count, blas in json.loads(sys.argv[2]):
    if sys.argv[1] == "early":
        import numpy, pyarrow, torch
    if os.fork():
        os.wait()
        continue
    threads.limit_threads(count, blas=blas or None)
    import numpy, pyarrow, torch
    from pathlib import Path
    from threadpoolctl import threadpool_info
    from tokenizers import Tokenizer, models

    numpy.ones((500, 500)) @ numpy.ones((500, 500))
    pools = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    before = len(list(Path("/proc/self/task").iterdir()))
    Tokenizer(models.BPE()).encode_batch(["a"] * 10_000)
    rayon = len(list(Path("/proc/self/task").iterdir())) - before
    print(json.dumps([sorted(pools), pyarrow.cpu_count(), torch.get_num_threads(), rayon]))
    sys.exit()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("when", "limits"), [("early", LIMITS), ("late", LIMITS[:1])])
def test_every_library_keeps_the_limit(when: str, limits: list[list[int]]) -> None:
    command = [sys.executable, "-c", SCRIPT, when, json.dumps(limits)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    for (count, _), line in zip(limits, said.stdout.splitlines(), strict=True):
        pools, arrow, torch, rayon = json.loads(line)
        assert pools == [1]
        assert arrow == count
        assert max(torch, rayon) <= count  # torch has no more than there are cores


@pytest.mark.slow
@pytest.mark.parametrize(("variables", "spins"), [({}, "0"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "[1-9][0-9]{6,}")])
def test_waiting_threads_sleep_unless_the_environment_says_otherwise(variables: dict[str, str], spins: str) -> None:
    packages = Path(sysconfig.get_path("platlib"))
    libraries = [*packages.glob("scikit_learn.libs/libgomp*"), *packages.glob("torch/lib/libgomp*")]
    script = (
        "import ctypes, sys; from adloom import threads; threads.limit_threads(2); [*map(ctypes.CDLL, sys.argv[1:])]"
    )
    inherited = {name: value for name, value in os.environ.items() if name != threads.WAIT_POLICY}
    command, environment = [sys.executable, "-c", script], inherited | {"OMP_DISPLAY_ENV": "VERBOSE"} | variables
    said = subprocess.run([*command, *libraries], env=environment, stderr=subprocess.PIPE, text=True, check=True)
    assert len(re.findall(rf"GOMP_SPINCOUNT = '{spins}'", said.stderr)) == len(libraries) == 2


def test_a_thread_of_lower_priority_leaves_others_as_they_are() -> None:
    def read_priorities() -> list[int]:
        threads.lower_priority()
        with ThreadPoolExecutor(1) as pool:
            started = pool.submit(read_priority).result()
        return [read_priority(), started]

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(read_priorities).result() == [threads.NICENESS] * 2
    assert read_priority() < threads.NICENESS


def read_priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
