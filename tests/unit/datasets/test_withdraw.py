"""A dataset is withdrawn from a remote, and no other dataset loses anything."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.unit.datasets.conftest import Make

from adloom.cli import datasets
from adloom.datasets import dataset, withdraw
from adloom.datasets.dvc_remote import Remote
from adloom.errors import DataError

LINES = {"first": "warm hat", "second": "cold hat"}


def content(remote: Remote, digest: str) -> dict[str, bytes]:
    """Return every object of a dataset, by its name."""
    tables = dataset.find_dataset(digest, "shop", remote).tables.values()
    names = {one.md5 for one in tables} | {md5 for one in tables for md5 in remote.list_directory(one.md5)}
    return {md5: (Path(remote.url) / "files/md5" / md5[:2] / md5[2:]).read_bytes() for md5 in names}


@pytest.fixture
def pushed(make: Make, remote: Remote) -> dict[str, str]:
    """The digests of two datasets of which all but the copy is the same."""
    return {name: dataset.push("shop", make(name, line), remote).digest for name, line in LINES.items()}


def cli(remote: Remote, tmp_path: Path, *arguments: str) -> Result:
    """Call the command as a program does, which nobody can answer."""
    arguments_given = ["withdraw", *arguments, "--params", str(tmp_path / "params.yaml")]
    return CliRunner(env={"ADLOOM_DVC_REMOTE": remote.url}).invoke(datasets.dataset, arguments_given)


def test_only_the_objects_of_one_dataset_are_deleted(pushed: dict[str, str], remote: Remote, tmp_path: Path) -> None:
    mine, kept = content(remote, pushed["first"]), content(remote, pushed["second"])
    message = cli(remote, tmp_path, pushed["first"][:8], "--yes", "--json")
    assert message.exit_code == 0, message.output
    going = mine.keys() - kept.keys()
    assert json.loads(message.stdout) == {
        "digest": pushed["first"],
        "objects": len(going),
        "bytes": sum(len(mine[md5]) for md5 in going),
        "shared": len(mine.keys() & kept.keys()),
    }
    assert content(remote, pushed["second"]) == kept
    assert remote.list_objects().keys() == kept.keys()
    assert [one.digest for one in remote.list_documents()] == [pushed["second"]]


def test_a_dry_run_or_a_missing_yes_deletes_nothing(pushed: dict[str, str], remote: Remote, tmp_path: Path) -> None:
    before = remote.list_objects(), remote.list_documents()
    assert cli(remote, tmp_path, pushed["first"], "--dry-run").exit_code == 0
    refused = cli(remote, tmp_path, pushed["first"])
    assert refused.exit_code == 2
    assert "--yes deletes without asking" in refused.output
    assert (remote.list_objects(), remote.list_documents()) == before


def test_objects_of_another_project_stay(make: Make, pushed: dict[str, str], remote: Remote) -> None:
    rival = dataset.push("rival", make("rival", LINES["first"]), remote)
    withdraw.withdraw(withdraw.plan_withdrawal(dataset.find_dataset(pushed["first"], "shop", remote), remote), remote)
    assert dataset.push("rival", make("rival", LINES["first"]), remote) == dataset.PushResult(rival.digest, 0)


@pytest.mark.parametrize("interrupted_at", ["files", "listings"])
def test_an_interrupted_withdrawal_is_repeated(pushed: dict[str, str], remote: Remote, interrupted_at: str) -> None:
    kept = content(remote, pushed["second"])
    for md5 in withdraw.plan_withdrawal(dataset.find_dataset(pushed["first"], "shop", remote), remote).objects:
        if interrupted_at == "listings" or not md5.endswith(".dir"):
            remote.remove_object(md5)
    withdraw.withdraw(withdraw.plan_withdrawal(dataset.find_dataset(pushed["first"], "shop", remote), remote), remote)
    assert set(remote.list_objects()) == set(kept)
    assert [one.digest for one in remote.list_documents()] == [pushed["second"]]


def test_nothing_is_deleted_when_the_objects_of_another_dataset_are_unknown(
    pushed: dict[str, str], remote: Remote
) -> None:
    own = dataset.find_dataset(pushed["first"], "shop", remote)
    other = dataset.find_dataset(pushed["second"], "shop", remote)
    remote.remove_object(other.tables["copy"].md5)
    with pytest.raises(DataError, match=f"of dataset {other.digest} is missing; withdraw that one first"):
        withdraw.plan_withdrawal(own, remote)


def test_a_dataset_pushed_during_a_withdrawal_is_reported(make: Make, pushed: dict[str, str], remote: Remote) -> None:
    planned = withdraw.plan_withdrawal(dataset.find_dataset(pushed["first"], "shop", remote), remote)
    dataset.push("rival", make("rival", LINES["first"]), remote)
    with pytest.raises(DataError, match="pushed during the withdrawal .*push it again"):
        withdraw.withdraw(planned, remote)
    assert dataset.push("rival", make("rival", LINES["first"]), remote).uploaded > 0
