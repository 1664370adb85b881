"""
Delete one dataset from a remote: the objects that no other dataset there has, and its document.

The document goes last, so that a withdrawal that was broken off can be run again.
"""

from contextlib import suppress
from dataclasses import dataclass

from adloom.datasets.dataset import Dataset, read_dataset
from adloom.datasets.dvc_remote import Remote
from adloom.errors import DataError


@dataclass(frozen=True)
class Withdrawal:
    """The objects of a dataset that go, and those that stay."""

    digest: str
    objects: dict[str, int]  # md5: bytes
    shared: int  # objects that other datasets have as well


def plan_withdrawal(dataset: Dataset, remote: Remote) -> Withdrawal:
    """Return what a withdrawal deletes. Raises DataError when it is not known what another dataset has."""
    own = _objects(dataset, remote, missing_ok=True)
    kept = _kept(dataset.digest, remote, missing_ok=False)
    present = remote.objects()
    going = {md5: present[md5] for md5 in sorted(own - kept) if md5 in present}
    return Withdrawal(dataset.digest, going, len(own & kept))


def withdraw(withdrawal: Withdrawal, remote: Remote) -> None:
    """Delete the objects, listings after the files they list, then the document. Raises DataError as `_require`."""
    for md5 in sorted(withdrawal.objects, key=lambda md5: (md5.endswith(".dir"), md5)):
        remote.remove(md5)
    remote.forget(withdrawal.digest)
    _require(withdrawal, remote)


def _require(withdrawal: Withdrawal, remote: Remote) -> None:
    """Raise DataError when a dataset was pushed meanwhile that found an object there which is deleted now."""
    if lost := withdrawal.objects.keys() & _kept(withdrawal.digest, remote, missing_ok=True) - remote.objects().keys():
        raise DataError(
            f"{remote.url}: a dataset that has {len(lost)} of the deleted objects was pushed meanwhile; push it again"
        )


def _kept(digest: str, remote: Remote, missing_ok: bool) -> set[str]:
    """Return the objects of all datasets but one."""
    others = (one.digest for one in remote.documents() if one.digest != digest)
    return set().union(*(_objects(read_dataset(remote, other), remote, missing_ok) for other in others))


def _objects(dataset: Dataset, remote: Remote, missing_ok: bool) -> set[str]:
    """Return the objects of a dataset: each table's listing and the files that it lists."""
    found = {table.md5 for table in dataset.tables.values()}
    for listing in tuple(found):
        with suppress(FileNotFoundError):
            found |= remote.listed(listing)
            continue
        if not missing_ok:
            raise DataError(f"{remote.url}: {listing}, of dataset {dataset.digest}, is gone; withdraw that one first")
    return found
