"""Datasets: one digest for equal tables, and errors of what cannot be pushed or read."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.unit.datasets.conftest import Make

from adloom.config.base import ConfigModel
from adloom.datasets import dataset
from adloom.datasets.dvc_remote import Remote
from adloom.errors import ArtifactError, ConfigError, DataError
from adloom.storage import manifest


def test_equal_tables_have_one_digest_in_every_folder(make: Make) -> None:
    name = dataset.compute_digest("shop", make("here", "warm hat"))
    assert dataset.compute_digest("shop", make("there", "warm hat")) == name
    assert dataset.compute_digest("shop", make("elsewhere", "cold hat")) != name
    assert dataset.compute_digest("rival", make("there", "warm hat")) != name


def test_a_pushed_dataset_has_its_document_and_the_objects_of_dvc(make: Make, remote: Remote, tmp_path: Path) -> None:
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


def test_existing_objects_are_not_uploaded_again(make: Make, remote: Remote) -> None:
    first = dataset.push("shop", make("data", "warm hat"), remote)
    assert dataset.push("shop", make("data", "warm hat"), remote) == dataset.PushResult(first.digest, 0)
    other = dataset.push("shop", make("data", "cold hat"), remote)
    assert 0 < other.uploaded < first.uploaded  # the skipped tables exist


def test_a_list_has_the_datasets_of_the_project_oldest_first(make: Make, remote: Remote) -> None:
    mine = [dataset.push("shop", make("data", line), remote).digest for line in ("warm hat", "cold hat")]
    dataset.push("rival", make("data"), remote)
    datasets_there = dataset.list_datasets("shop", remote)
    assert {one.digest for one in datasets_there} == {*mine}
    assert datasets_there == sorted(datasets_there, key=lambda one: (one.written, one.digest))


def test_a_new_remote_is_empty(remote: Remote) -> None:
    assert dataset.list_datasets("shop", remote) == []
    with pytest.raises(DataError, match=r"^12345678: .*`adloom dataset push`"):
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


def test_an_ambiguous_prefix_is_refused(make: Make, remote: Remote, tmp_path: Path) -> None:
    pushed = dataset.push("shop", make("data"), remote)
    (tmp_path / "remote" / "datasets" / f"{pushed.digest[:8]}{'0' * 56}.json").write_bytes(b"{}")
    with pytest.raises(DataError, match=rf"^{pushed.digest[:8]}: 2 datasets .*more digits"):
        dataset.find_dataset(pushed.digest[:8], "shop", remote)


@pytest.mark.slow
def test_a_damaged_document_is_named(make: Make, remote: Remote, tmp_path: Path) -> None:
    pushed = dataset.push("shop", make("data"), remote)
    document = tmp_path / "remote" / "datasets" / f"{pushed.digest}.json"
    document.write_bytes(document.read_bytes().replace(b"shop", b"shot"))
    with pytest.raises(DataError, match=f"{pushed.digest}.json: damaged"):
        dataset.find_dataset(pushed.digest, "shop", remote)


def test_an_unreadable_document_hides_no_other(
    make: Make, remote: Remote, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pushed = dataset.push("shop", make("data"), remote)
    later = dataset.find_dataset(pushed.digest, "shop", remote).to_bytes().replace(b'"format": 1', b'"format": 2')
    remote.write_document(hashlib.sha256(later).hexdigest(), later)
    remote.write_document("0" * 64, b"{}")
    assert [one.digest for one in dataset.list_datasets("shop", remote)] == [pushed.digest]
    messages = "\n".join(sorted(record.getMessage().rpartition(".json: ")[2] for record in caplog.records))
    assert messages.startswith(
        "damaged; delete it and push the dataset again\nnot a dataset of format 1, which this adloom"
    )
    with pytest.raises(DataError, match="datasets/0000.json: .*`adloom dataset push`"):
        remote.read_document("0000")


def test_a_changed_table_or_one_with_another_file_is_not_pushed(make: Make, remote: Remote) -> None:
    folders = make("data")
    (folders["copy"] / "customers.csv").write_text("ann@example.com")
    with pytest.raises(ArtifactError, match="copy/customers.csv: not part of the table"):
        dataset.push("shop", folders, remote)
    (folders["copy"] / "customers.csv").unlink()
    (folders["copy"] / "rows-00000.parquet").write_bytes(b"changed")
    with pytest.raises(ArtifactError, match="changed since it was written"):
        dataset.push("shop", folders, remote)
    assert remote.list_documents() == []


def test_a_raw_table_is_never_pushed(make: Make, remote: Remote) -> None:
    folders = make("data")
    manifest.skip(folders["events"], "ingest", ConfigModel(), "no source")
    with pytest.raises(ArtifactError, match="events: .* ingest, expected .*`adloom prepare`"):
        dataset.push("shop", folders, remote)
