"""Fixtures every test may use: doubles of the outside, and artifacts made of small tables."""

import atexit
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import settings

from adloom.config.params import Source
from adloom.context import StageContext
from adloom.registry.memory import MemoryRegistry
from adloom.storage import manifest, parquet
from adloom.storage.local import FolderStore
from adloom.tracking.memory import MemoryTracker

MakeTable = Callable[[str, pd.DataFrame], Path]

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would children
os.environ["KUBECONFIG"] = os.devnull  # tests ask no cluster that kubectl knows here
settings.register_profile("adloom", deadline=None)  # how long an example takes says more of the machine than of it
settings.load_profile("adloom")


@atexit.register
def silence_exit() -> None:
    """Drop what nanobind prints when the interpreter ends: DuckDB's types live until then, and it calls them leaked."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    """The outside as doubles: a folder store, a tracker and a registry in memory, a key, and nobody watching."""
    return StageContext(
        store=FolderStore(),
        tracker=MemoryTracker(),
        registry=MemoryRegistry(tmp_path / "registry"),
        pseudonym_key=b"a key for tests only",
        home=tmp_path / ".adloom",
        progress=False,
    )


@pytest.fixture
def make_table(tmp_path: Path) -> MakeTable:
    """Return a function that writes prepared rows (with their `split`) as the artifact data/dataset/<table>."""

    def make(table: str, rows: pd.DataFrame) -> Path:
        target = tmp_path / "data" / "dataset" / table
        with manifest.draft(target, "prepare", Source(uri="test"), {}) as made:
            parquet.write(rows, made.path)
        return target

    return make
