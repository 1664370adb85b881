"""Workers: a failed start ends a worker with one line."""

import subprocess
import sys

import pytest
from uvicorn.config import STARTUP_FAILURE

SCRIPT = """
import os, sys
from pathlib import Path
from adloom.errors import ArtifactError
from adloom.serving import workers

def create(folder):
    if {fails}:
        raise ArtifactError("no model\\nto serve")
    return "application of " + folder.name

print(workers._create_in_worker(create, Path("metrics"), {parent}))
"""


def start(fails: bool, parent: str) -> "subprocess.CompletedProcess[str]":
    script = SCRIPT.format(fails=fails, parent=parent)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_worker_creates_its_application() -> None:
    done = start(fails=False, parent="os.getppid()")
    assert (done.returncode, done.stdout) == (0, "application of metrics\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fails", "parent", "error"), [(True, "os.getppid()", "adloom: no model to serve\n"), (False, "-1", "")]
)
def test_a_start_that_fails(fails: bool, parent: str, error: str) -> None:
    done = start(fails, parent)
    assert (done.returncode, done.stdout, done.stderr) == (STARTUP_FAILURE, "", error)
