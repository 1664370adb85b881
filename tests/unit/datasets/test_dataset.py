"""A dataset is its tables and nothing else; what a remote lost or damaged is named."""

import hashlib
import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from tests.support import shop
from tests.unit.datasets.conftest import Make

from adloom.cli import datasets
from adloom.config.base import ConfigModel
from adloom.config.params import TABLES, Params, Source
from adloom.config.settings import Settings
from adloom.datasets import dataset, dvc_remote, pull, workspace
from adloom.datasets.dvc_remote import Remote
from adloom.errors import AdloomError, ArtifactError, ConfigError, DataError
from adloom.storage import manifest, parquet


def project(folder: Path) -> Path:
    """Make a folder one that `adloom init` made."""
    folder.mkdir(exist_ok=True)
    (folder / "dvc.yaml").write_text((shop.SHIPPED.parent / "dvc.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "params.yaml").write_text((folder.parent / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def test_equal_tables_are_one_dataset_wherever_they_lie(make: Make) -> None:
    name = dataset.compute_digest("shop", make("here", "warm hat"))
    assert dataset.compute_digest("shop", make("there", "warm hat")) == name
    assert dataset.compute_digest("shop", make("elsewhere", "cold hat")) != name
    assert dataset.compute_digest("rival", make("there", "warm hat")) != name


def test_a_pushed_dataset_is_named_by_its_document_and_lies_where_dvc_looks(
    make: Make, remote: Remote, tmp_path: Path
) -> None:
    folders = make("data", "warm hat")
    pushed = dataset.push("shop", folders, remote)
    document = (tmp_path / "remote" / "datasets" / f"{pushed.digest}.json").read_bytes()
    assert hashlib.sha256(document).hexdigest() == pushed.digest == dataset.compute_digest("shop", folders)
    table = json.loads(document)["tables"]["copy"]
    assert table["manifest"] == manifest.digest(folders["copy"])
    assert (table["rows"], table["files"]) == ({"quarantined": 1, "train": 1}, 2)
    listing = tmp_path / "remote" / "files" / "md5" / table["md5"][:2] / table["md5"][2:]
    listed = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_bytes())}
    for name, md5 in listed.items():
        kept = tmp_path / "remote" / "files" / "md5" / md5[:2] / md5[2:]
        assert kept.read_bytes() == (folders["copy"] / name).read_bytes()


def test_what_is_there_is_not_sent_again(make: Make, remote: Remote) -> None:
    first = dataset.push("shop", make("data", "warm hat"), remote)
    assert dataset.push("shop", make("data", "warm hat"), remote) == dataset.PushResult(first.digest, 0)
    other = dataset.push("shop", make("data", "cold hat"), remote)
    assert 0 < other.sent < first.sent  # the skipped tables are there


def test_a_list_shows_the_project_s_own_oldest_first(make: Make, remote: Remote) -> None:
    mine = [dataset.push("shop", make("data", line), remote).digest for line in ("warm hat", "cold hat")]
    dataset.push("rival", make("data"), remote)
    found = dataset.list_datasets("shop", remote)
    assert {one.digest for one in found} == {*mine}
    assert found == sorted(found, key=lambda one: (one.written, one.digest))


def test_a_new_remote_holds_nothing(remote: Remote) -> None:
    assert dataset.list_datasets("shop", remote) == []
    with pytest.raises(DataError, match=r"^12345678: no such dataset at .*it holds none; `adloom dataset push`"):
        dataset.find_dataset("12345678", "shop", remote)


def test_a_dataset_is_found_by_its_first_digits(make: Make, remote: Remote) -> None:
    pushed = dataset.push("shop", make("data"), remote)
    assert dataset.find_dataset(pushed.digest[:8], "shop", remote).digest == pushed.digest
    with pytest.raises(ConfigError, match="not a digest; expected its first 8 to 64 digits"):
        dataset.find_dataset(pushed.digest[:7], "shop", remote)
    with pytest.raises(DataError, match=f"no such dataset at .*nearest: {pushed.digest}"):
        dataset.find_dataset("0" * 64, "shop", remote)
    with pytest.raises(ConfigError, match="a dataset of project shop, params.yaml says rival"):
        dataset.find_dataset(pushed.digest, "rival", remote)


def test_digits_that_two_datasets_begin_with_are_too_few(make: Make, remote: Remote, tmp_path: Path) -> None:
    pushed = dataset.push("shop", make("data"), remote)
    (tmp_path / "remote" / "datasets" / f"{pushed.digest[:8]}{'0' * 56}.json").write_bytes(b"{}")
    with pytest.raises(DataError, match=r"2 datasets begin so: .*; give more digits"):
        dataset.find_dataset(pushed.digest[:8], "shop", remote)


def test_a_damaged_document_is_named(make: Make, remote: Remote, tmp_path: Path) -> None:
    pushed = dataset.push("shop", make("data"), remote)
    document = tmp_path / "remote" / "datasets" / f"{pushed.digest}.json"
    document.write_bytes(document.read_bytes().replace(b"shop", b"shot"))
    with pytest.raises(DataError, match=f"{pushed.digest}.json: damaged"):
        dataset.find_dataset(pushed.digest, "shop", remote)


def test_a_document_that_cannot_be_read_hides_no_other(
    make: Make, remote: Remote, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pushed = dataset.push("shop", make("data"), remote)
    later = dataset.find_dataset(pushed.digest, "shop", remote).to_bytes().replace(b'"format": 1', b'"format": 2')
    remote.write(hashlib.sha256(later).hexdigest(), later)
    remote.write("0" * 64, b"{}")
    assert [one.digest for one in dataset.list_datasets("shop", remote)] == [pushed.digest]
    said = "\n".join(sorted(record.getMessage().rpartition(".json: ")[2] for record in caplog.records))
    assert said.startswith(
        "damaged; delete it and push the dataset again\nnot a dataset of format 1, which this adloom"
    )
    with pytest.raises(DataError, match="datasets/0000.json: gone; `adloom dataset push`"):
        remote.read("0000")


def test_a_file_that_changes_while_it_is_pushed_is_never_stored_under_a_name_that_is_not_its_own(
    make: Make, remote: Remote, tmp_path: Path
) -> None:
    folder = make("data", "warm hat")["copy"]
    content = dvc_remote.hash_folder(folder)
    (folder / "rows-00000.parquet").write_bytes(b"of another run")
    with pytest.raises(DataError, match=r"rows-00000.parquet: changed while it was pushed; push again when nothing"):
        remote.push(folder, content)
    for path in (path for path in (tmp_path / "remote").rglob("*") if path.is_file()):
        assert hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == path.parent.name + path.name


def test_a_table_that_was_changed_or_has_a_stranger_in_it_is_not_pushed(make: Make, remote: Remote) -> None:
    folders = make("data")
    (folders["copy"] / "customers.csv").write_text("ann@example.com")
    with pytest.raises(ArtifactError, match=r"copy/customers.csv: not part of the table; take it out"):
        dataset.push("shop", folders, remote)
    (folders["copy"] / "customers.csv").unlink()
    (folders["copy"] / "rows-00000.parquet").write_bytes(b"changed")
    with pytest.raises(ArtifactError, match="changed since it was written"):
        dataset.push("shop", folders, remote)
    assert remote.documents() == []


def test_tables_that_a_run_may_be_writing_are_not_pushed_and_those_of_another_folder_are(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("data/dataset", "warm hat")
    make("elsewhere", "warm hat")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADLOOM_DVC_REMOTE", str(tmp_path / "remote"))
    with workspace.lock_workspace(Settings().home, tmp_path):
        mine = CliRunner().invoke(datasets.dataset, ["push"])
        other = CliRunner().invoke(datasets.dataset, ["push", "--from", "elsewhere"])
    assert str(mine.exception) == f"{tmp_path}: another `adloom run` works here; wait for it or stop it"
    assert other.exit_code == 0


def test_a_raw_table_is_never_pushed(make: Make, remote: Remote) -> None:
    folders = make("data")
    manifest.skip(folders["events"], "ingest", ConfigModel(), "no source")
    with pytest.raises(ArtifactError, match="events: made by ingest, expected a table that `adloom prepare` made"):
        dataset.push("shop", folders, remote)


def test_without_a_remote_it_is_said_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`dvc remote add --default .*ADLOOM_DVC_REMOTE=s3://bucket/prefix"):
        dvc_remote.open_remote(Settings(), tmp_path)


def test_dvc_s_default_remote_is_the_remote(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = ../kept\n")
    assert dvc_remote.open_remote(Settings(), tmp_path).url == str(tmp_path / "kept")
    (tmp_path / ".dvc" / "config").write_text("[core]\n    remote = stor\n")
    with pytest.raises(ConfigError, match="remote stor: "):
        dvc_remote.open_remote(Settings(), tmp_path)


def test_a_pull_replaces_all_tables_and_leaves_the_rest(
    make: Make, remote: Remote, loaded: Params, tmp_path: Path
) -> None:
    kept = dataset.find_dataset(dataset.push("shop", make("data", "warm hat"), remote).digest, "shop", remote)
    laptop = project(tmp_path / "laptop")
    (laptop / "data" / "dataset").mkdir(parents=True)
    (laptop / "data" / "dataset" / "notes.txt").write_text("mine")
    assert pull.pull_dataset(kept, loaded, remote, laptop, force=False)
    assert dataset.compute_digest("shop", dataset.table_folders(laptop / "data" / "dataset")) == kept.digest
    assert (laptop / "data" / "dataset" / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in (laptop / "data").iterdir()) == ["dataset", "raw"]
    assert pull.is_pulled(loaded, laptop)
    assert not pull.pull_dataset(kept, loaded, remote, laptop, force=False)  # it is that dataset already

    make("laptop/data/dataset", "a line of my own")
    with pytest.raises(DataError, match=r"copy: would be lost, it is not in DVC's cache; .* --force drops it"):
        pull.pull_dataset(kept, loaded, remote, laptop, force=False)
    assert parquet.read(laptop / "data/dataset/copy")["text"].tolist() == ["a line of my own"]
    assert pull.pull_dataset(kept, loaded, remote, laptop, force=True)
    assert parquet.read(laptop / "data/dataset/copy")["text"].tolist() == ["warm hat"]

    stricter = loaded.model_copy(update={"prepare": loaded.prepare.model_copy(update={"max_quarantine_rate": 0.5})})
    assert not pull.is_pulled(stricter, laptop)  # so `adloom run` looks at the sources
    pull.forget_pull(laptop)
    assert list((laptop / "data" / "raw").iterdir()) == []
    assert not pull.is_pulled(loaded, laptop)


@pytest.mark.parametrize(
    "change",
    [
        {"columns": {"text": "another"}},
        {"constants": {"category": "hats"}},
        {"format": "parquet"},
        {"separator": ";"},
        {"timestamp_format": "epoch_s"},
    ],
)
def test_a_source_that_is_read_in_another_way_since_the_pull_is_looked_at_again(
    make: Make, remote: Remote, loaded: Params, laptop: Path, change: dict[str, object]
) -> None:
    kept = dataset.find_dataset(dataset.push("shop", make("data"), remote).digest, "shop", remote)
    pull.pull_dataset(kept, None, remote, laptop, force=False)  # under the params that lie there
    assert pull.is_pulled(loaded, laptop)
    source = loaded.ingest.source("copy")
    assert source
    ingest = loaded.ingest.model_copy(update={"copy_": source.model_copy(update=change)})
    assert not pull.is_pulled(loaded.model_copy(update={"ingest": ingest}), laptop)


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """A project that is DVC's already."""
    (project(tmp_path / "laptop") / ".dvc").mkdir()
    (tmp_path / "laptop" / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    return tmp_path / "laptop"


def test_params_that_make_another_dataset_are_refused(make: Make, remote: Remote, loaded: Params, laptop: Path) -> None:
    kept = dataset.find_dataset(dataset.push("shop", make("data"), remote).digest, "shop", remote)
    stricter = loaded.model_copy(update={"prepare": loaded.prepare.model_copy(update={"max_quarantine_rate": 0.5})})
    with pytest.raises(ConfigError, match="prepare would make other copy than the dataset's; `adloom reproduce`"):
        pull.pull_dataset(kept, stricter, remote, laptop, force=True)
    without = loaded.model_copy(update={"ingest": loaded.ingest.model_copy(update={"copy_": None})})
    with pytest.raises(ConfigError, match="ingest.copy is not given, the dataset has copy"):
        pull.pull_dataset(kept, without, remote, laptop, force=True)
    rival = loaded.ingest.model_copy(update={"copy_": Source(uri="./rival")})
    with pytest.raises(ConfigError, match=r"ingest.copy.uri is ./rival, the dataset's copy come from shop/copy.csv"):
        pull.pull_dataset(kept, loaded.model_copy(update={"ingest": rival}), remote, laptop, force=True)
    assert not (laptop / "data" / "dataset").exists()


def test_raw_rows_of_another_dataset_are_not_dropped_unasked(
    make: Make, remote: Remote, loaded: Params, laptop: Path
) -> None:
    kept = dataset.find_dataset(dataset.push("shop", make("data"), remote).digest, "shop", remote)
    with manifest.draft(laptop / "data/raw/copy", "ingest", ConfigModel(), {}) as made:
        parquet.write(pd.DataFrame({"text": ["raw"]}), made.path)
    with pytest.raises(DataError, match=r"raw/copy: raw rows of another dataset, which DVC does not keep"):
        pull.pull_dataset(kept, loaded, remote, laptop, force=False)
    assert not (laptop / "data" / "dataset").exists()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), "gone; `adloom dataset push` where the dataset was made"),
        (lambda path: (path.chmod(0o600), path.write_bytes(b"x" * path.stat().st_size)), "damaged, its content is not"),
    ],
)
def test_an_object_that_is_gone_or_damaged_is_named_and_nothing_is_replaced(
    make: Make, remote: Remote, loaded: Params, laptop: Path, tmp_path: Path, harm: Callable[[Path], object], said: str
) -> None:
    folders = make("data")
    kept = dataset.find_dataset(dataset.push("shop", folders, remote).digest, "shop", remote)
    md5 = dvc_remote.hash_folder(folders["copy"]).md5
    harm(tmp_path / "remote" / "files" / "md5" / md5[:2] / md5[2:])
    with pytest.raises(DataError, match=f"files/md5/{md5[:2]}/{md5[2:]}: {said}"):
        pull.pull_dataset(kept, loaded, remote, laptop, force=False)
    assert not (laptop / "data" / "dataset").exists()
    assert list(laptop.rglob("*.partial")) == []


def test_a_listing_that_leads_out_of_its_folder_is_refused(
    make: Make, remote: Remote, loaded: Params, laptop: Path
) -> None:
    listing = json.dumps([{"md5": "d41d8cd98f00b204e9800998ecf8427e", "relpath": "../../escaped"}]).encode()
    md5 = f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir"
    remote.push(laptop, dvc_remote.DirectoryHash(md5, 0, {}, listing))
    good, _ = dataset.describe("shop", make("data"))
    bad = good.model_copy(update={"tables": {t: good.tables[t].model_copy(update={"md5": md5}) for t in TABLES}})
    with pytest.raises(DataError, match=r"\.\./\.\./escaped: a file that lies outside of its folder"):
        pull.pull_dataset(bad, loaded, remote, laptop, force=False)


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the system refuse files above 50 kB, as it refuses every file when the disk is full."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # else a module first imported here is kept cut off
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("where", ["cache", "folder"])
@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_takes_no_more_is_one_line_and_nothing_is_replaced(
    make: Make, remote: Remote, loaded: Params, laptop: Path, where: str
) -> None:
    noise = np.random.default_rng(1).bytes(200_000).hex()
    kept = dataset.find_dataset(dataset.push("shop", make("data", noise), remote).digest, "shop", remote)
    if where == "folder":
        remote.fetch(kept.tables["copy"].md5, dvc_remote.open_cache(laptop))
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    with pytest.raises((OSError, AdloomError), match="File too large") as caught:
        pull.pull_dataset(kept, loaded, remote, laptop, force=False)
    assert str(laptop) in str(caught.value)
    assert not (laptop / "data" / "dataset").exists()
    assert list(laptop.rglob("*.partial")) == []
