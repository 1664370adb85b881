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
threads.limit(3, blas=int(sys.argv[2]) or None)
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


@pytest.mark.parametrize("when", ["early", "late"])
@pytest.mark.parametrize(("blas", "expected"), [(0, 3), (1, 1)])
def test_every_library_keeps_to_the_number(when: str, blas: int, expected: int) -> None:
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT, when, str(blas)], capture_output=True, text=True, check=True, timeout=120
    )
    pools, arrow, torch, rayon = json.loads(said.stdout)
    assert pools == [expected]
    assert (arrow, torch) == (3, 3)
    assert rayon <= 3
