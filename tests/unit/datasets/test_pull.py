"""Pulls: all tables or none, nothing lost unasked, and damage named."""

import hashlib
import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.support import shop
from tests.unit.datasets.conftest import Make

from adloom.config.base import ConfigModel
from adloom.config.params import TABLES, Params
from adloom.config.sources import Source
from adloom.datasets import dataset, dvc_cache, pull
from adloom.datasets.dvc_remote import Remote
from adloom.errors import AdloomError, ConfigError, DataError
from adloom.storage import manifest, parquet

CHANGES: tuple[dict[str, object], ...] = (
    {"columns": {"text": "another"}},
    {"constants": {"category": "hats"}},
    {"format": "parquet"},
    {"separator": ";"},
    {"timestamp_format": "epoch_s"},
)


def project(folder: Path) -> Path:
    """Create a folder with the files of `adloom init`."""
    folder.mkdir(exist_ok=True)
    (folder / "dvc.yaml").write_text((shop.SHIPPED.parent / "dvc.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "params.yaml").write_text((folder.parent / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_a_pull_replaces_all_tables_and_keeps_other_files(
    make: Make, remote: Remote, loaded: Params, tmp_path: Path
) -> None:
    stored = dataset.find_dataset(dataset.push("shop", make("data", "warm hat"), remote).digest, "shop", remote)
    laptop = project(tmp_path / "laptop")
    (laptop / "data" / "dataset").mkdir(parents=True)
    (laptop / "data" / "dataset" / "notes.txt").write_text("mine")
    assert pull.pull_dataset(stored, loaded, remote, laptop, force=False)
    assert dataset.compute_digest("shop", dataset.table_folders(laptop / "data" / "dataset")) == stored.digest
    assert (laptop / "data" / "dataset" / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in (laptop / "data").iterdir()) == ["dataset", "raw"]
    assert pull.is_pulled(loaded, laptop)
    assert not pull.pull_dataset(stored, loaded, remote, laptop, force=False)  # equal

    make("laptop/data/dataset", "a line of my own")
    with pytest.raises(DataError, match=r"copy: would be lost, it is not in DVC's cache; .* --force drops it"):
        pull.pull_dataset(stored, loaded, remote, laptop, force=False)
    assert parquet.read(laptop / "data/dataset/copy")["text"].tolist() == ["a line of my own"]
    assert pull.pull_dataset(stored, loaded, remote, laptop, force=True)
    assert parquet.read(laptop / "data/dataset/copy")["text"].tolist() == ["warm hat"]

    stricter = loaded.model_copy(update={"prepare": loaded.prepare.model_copy(update={"max_quarantine_rate": 0.5})})
    assert not pull.is_pulled(stricter, laptop)  # so `adloom run` looks at the sources
    pull.forget_pull(laptop)
    assert list((laptop / "data" / "raw").iterdir()) == []
    assert not pull.is_pulled(loaded, laptop)


@pytest.mark.slow
def test_a_source_with_other_options_is_read_again(make: Make, remote: Remote, loaded: Params, laptop: Path) -> None:
    stored = dataset.find_dataset(dataset.push("shop", make("data"), remote).digest, "shop", remote)
    pull.pull_dataset(stored, None, remote, laptop, force=False)  # with the params of the folder
    assert pull.is_pulled(loaded, laptop)
    source = loaded.ingest.source("copy")
    assert source
    for change in CHANGES:
        ingest = loaded.ingest.model_copy(update={"copy_": source.model_copy(update=change)})
        assert not pull.is_pulled(loaded.model_copy(update={"ingest": ingest}), laptop), change


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """A project with DVC."""
    (project(tmp_path / "laptop") / ".dvc").mkdir()
    (tmp_path / "laptop" / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    return tmp_path / "laptop"


@pytest.mark.slow
def test_params_that_make_another_dataset_are_refused(make: Make, remote: Remote, loaded: Params, laptop: Path) -> None:
    stored = dataset.find_dataset(dataset.push("shop", make("data"), remote).digest, "shop", remote)
    stricter = loaded.model_copy(update={"prepare": loaded.prepare.model_copy(update={"max_quarantine_rate": 0.5})})
    with pytest.raises(ConfigError, match="prepare would make other copy than the dataset's; `adloom reproduce`"):
        pull.pull_dataset(stored, stricter, remote, laptop, force=True)
    without = loaded.model_copy(update={"ingest": loaded.ingest.model_copy(update={"copy_": None})})
    with pytest.raises(ConfigError, match="ingest.copy is not given, the dataset has copy"):
        pull.pull_dataset(stored, without, remote, laptop, force=True)
    rival = loaded.ingest.model_copy(update={"copy_": Source(uri="./rival")})
    with pytest.raises(ConfigError, match=r"ingest.copy.uri is ./rival, the dataset's copy come from shop/copy.csv"):
        pull.pull_dataset(stored, loaded.model_copy(update={"ingest": rival}), remote, laptop, force=True)
    assert not (laptop / "data" / "dataset").exists()


@pytest.mark.slow
def test_raw_rows_of_another_dataset_are_kept_without_force(
    make: Make, remote: Remote, loaded: Params, laptop: Path
) -> None:
    stored = dataset.find_dataset(dataset.push("shop", make("data"), remote).digest, "shop", remote)
    with manifest.draft(laptop / "data/raw/copy", "ingest", ConfigModel(), {}) as artifact:
        parquet.write(pd.DataFrame({"text": ["raw"]}), artifact.path)
    with pytest.raises(DataError, match=r"raw/copy: raw rows of another dataset, .*--force"):
        pull.pull_dataset(stored, loaded, remote, laptop, force=False)
    assert not (laptop / "data" / "dataset").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.unlink(), "missing; `adloom dataset push`"),
        (
            lambda path: (path.chmod(0o600), path.write_bytes(b"x" * path.stat().st_size)),
            "damaged, .*`adloom dataset push`",
        ),
    ],
)
def test_a_missing_or_damaged_object_is_named_and_nothing_is_replaced(
    make: Make,
    remote: Remote,
    loaded: Params,
    laptop: Path,
    tmp_path: Path,
    harm: Callable[[Path], object],
    message: str,
) -> None:
    folders = make("data")
    stored = dataset.find_dataset(dataset.push("shop", folders, remote).digest, "shop", remote)
    md5 = dvc_cache.hash_folder(folders["copy"]).md5
    harm(tmp_path / "remote" / "files" / "md5" / md5[:2] / md5[2:])
    with pytest.raises(DataError, match=f"files/md5/{md5[:2]}/{md5[2:]}: {message}"):
        pull.pull_dataset(stored, loaded, remote, laptop, force=False)
    assert not (laptop / "data" / "dataset").exists()
    assert list(laptop.rglob("*.partial")) == []


@pytest.mark.slow
def test_a_listing_that_leads_out_of_its_folder_is_refused(
    make: Make, remote: Remote, loaded: Params, laptop: Path
) -> None:
    listing = json.dumps([{"md5": "d41d8cd98f00b204e9800998ecf8427e", "relpath": "../../escaped"}]).encode()
    md5 = f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir"
    remote.push(laptop, dvc_cache.DirectoryHash(md5, 0, {}, listing))
    good, _ = dataset.describe("shop", make("data"))
    bad = good.model_copy(update={"tables": {t: good.tables[t].model_copy(update={"md5": md5}) for t in TABLES}})
    with pytest.raises(DataError, match=r"\.\./\.\./escaped: .*out of its folder"):
        pull.pull_dataset(bad, loaded, remote, laptop, force=False)


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse files above 50 kB, as a full disk does."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # else a module imported here is written incompletely
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["cache", "folder"])
@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_is_one_line_and_nothing_is_replaced(
    make: Make, remote: Remote, loaded: Params, laptop: Path, where: str
) -> None:
    noise = np.random.default_rng(1).bytes(200_000).hex()
    stored = dataset.find_dataset(dataset.push("shop", make("data", noise), remote).digest, "shop", remote)
    if where == "folder":
        remote.fetch(stored.tables["copy"].md5, dvc_cache.open_cache(laptop))
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    with pytest.raises((OSError, AdloomError), match="File too large") as caught:
        pull.pull_dataset(stored, loaded, remote, laptop, force=False)
    assert str(laptop) in str(caught.value)
    assert not (laptop / "data" / "dataset").exists()
    assert list(laptop.rglob("*.partial")) == []
