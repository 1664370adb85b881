"""Fixtures of all tests: in-memory services, and artifacts with small tables."""

import atexit
import gc
import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import httpx
import pandas as pd
import pytest
from hypothesis import settings

from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.registry.memory import MemoryRegistry
from adloom.storage import manifest, parquet
from adloom.storage.local import FolderStore
from adloom.tracking.memory import MemoryTracker

MakeTable = Callable[[str, pd.DataFrame], Path]

signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit an ignored SIGINT
os.environ["KUBECONFIG"] = os.devnull  # tests never use a real cluster
# httpx.get loads all certificates again in each call, for 20 ms: too long in loops that wait for a server.
httpx._transports.default.create_ssl_context = cache(httpx.create_ssl_context)  # type: ignore[attr-defined]
# No deadline: an example's duration depends on the machine. `--hypothesis-profile explore` looks for new examples.
settings.register_profile("adloom", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("adloom")
gc.disable()  # while collection imports half a million objects, each of which a garbage collection would traverse


def pytest_collection_finish() -> None:
    """Leave what collection imported out of later garbage collections, and collect less often."""
    gc.freeze()
    gc.set_threshold(10_000)  # new objects; with 700, collections take 5 % of the processor time
    gc.enable()


@atexit.register
def silence_exit() -> None:
    """Silence nanobind, which reports DuckDB's types as leaked, and skip the last garbage collections."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    gc.freeze()


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    """Provide a folder store, an in-memory tracker and registry, a key, and no callbacks."""
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
