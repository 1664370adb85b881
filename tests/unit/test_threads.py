"""Threads: one number for every library, whether it was loaded before or is loaded later."""

import json
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from adloom import threads

SCRIPT = """
import json, sys
from adloom import threads

early = sys.argv[1] == "early"
if early:
    import numpy, pyarrow, torch
threads.limit_threads(int(sys.argv[2]), blas=int(sys.argv[3]) or None)
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
"""


@pytest.mark.slow
@pytest.mark.parametrize(("when", "count", "blas"), [("early", 1, 0), ("late", 1, 0), ("early", 3, 1)])
def test_every_library_keeps_the_limit(when: str, count: int, blas: int) -> None:
    command = [sys.executable, "-c", SCRIPT, when, str(count), str(blas)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    pools, arrow, torch, rayon = json.loads(said.stdout)
    assert pools == [1]
    assert arrow == count
    assert max(torch, rayon) <= count  # torch has no more than there are cores


@pytest.mark.slow
@pytest.mark.parametrize(("variables", "spins"), [({}, "0"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "[1-9][0-9]{6,}")])
def test_waiting_threads_sleep_unless_the_environment_says_otherwise(variables: dict[str, str], spins: str) -> None:
    script = "from adloom import threads; threads.limit_threads(2); import sklearn.cluster, torch"
    inherited = {name: value for name, value in os.environ.items() if name != threads.WAIT_POLICY}
    command, environment = [sys.executable, "-c", script], inherited | {"OMP_DISPLAY_ENV": "VERBOSE"} | variables
    said = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=True, timeout=120)
    assert len(re.findall(rf"GOMP_SPINCOUNT = '{spins}'", said.stderr)) == 2  # of scikit-learn and of torch


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
