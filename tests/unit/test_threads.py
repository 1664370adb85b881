"""Threads: one number for every library, whether it was loaded before or is loaded later."""

import json
import subprocess
import sys

import pytest

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
