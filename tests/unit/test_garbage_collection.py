"""The exit of a process that skips the last collections."""

import subprocess
import sys

import pytest

SCRIPT = """
from adloom import garbage_collection
garbage_collection.skip_imports()
{module}

class Cycle:
    def __init__(self):
        self.itself = self

    def __del__(self):
        print("collected")

Cycle()
"""


@pytest.mark.parametrize(
    ("module", "printed"), [("", ""), ("import duckdb; duckdb.sql('select 1').fetchall()", "collected\n")]
)
def test_the_exit_skips_collections_unless_duckdb_would_report_leaks(module: str, printed: str) -> None:
    command = [sys.executable, "-c", SCRIPT.format(module=module)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (ended.stdout, ended.stderr) == (printed, "")
