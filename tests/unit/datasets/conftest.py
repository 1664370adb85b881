"""Datasets of a few lines of copy, and a remote in a folder."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from tests.support import shop

from adloom.config import params
from adloom.config.params import Params
from adloom.config.settings import Settings
from adloom.datasets import dataset, dvc_remote
from adloom.datasets.dvc_remote import Remote
from adloom.storage import manifest, parquet

Make = Callable[..., dict[str, Path]]


@pytest.fixture
def loaded(tmp_path: Path) -> Params:
    """Params whose only source is the copy."""
    values = shop.params()
    values["ingest"] = {"copy": values["ingest"]["copy"]}
    return params.load(shop.write_params(tmp_path, values))


@pytest.fixture
def make(tmp_path: Path, loaded: Params) -> Make:
    """Return a function that writes a dataset of these lines of copy, the other tables skipped."""

    def make(place: str, *lines: str) -> dict[str, Path]:
        folders = dataset.table_folders(tmp_path / place)
        for table, folder in folders.items():
            if table != "copy":
                manifest.skip(folder, "prepare", loaded.prepare.for_table(table), "no source")
        with manifest.draft(folders["copy"], "prepare", loaded.prepare.for_table("copy"), {}) as made:
            parquet.write(pd.DataFrame({"text": lines or ["warm hat", "red shoe"]}), made.path)
            made.rows, made.facts = {"train": len(lines), "quarantined": 1}, {"source": "shop/copy.csv"}
        return folders

    return make


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return dvc_remote.open_remote(Settings(dvc_remote=str(tmp_path / "remote"), quiet=True))
