"""
Delete a dataset from a remote: its document, and the objects that no other dataset uses.

The document is deleted last, so that an interrupted withdrawal can be repeated.
"""

from contextlib import suppress
from dataclasses import dataclass

from adloom.datasets.dataset import Dataset, read_dataset
from adloom.datasets.dvc_remote import Remote
from adloom.errors import DataError


@dataclass(frozen=True)
class Withdrawal:
    """The objects to delete, and the number of those that stay."""

    digest: str
    objects: dict[str, int]  # MD5: bytes
    shared: int  # objects that other datasets use as well


def plan_withdrawal(dataset: Dataset, remote: Remote) -> Withdrawal:
    """Return the objects to delete. Raises DataError when the objects of another dataset are unknown."""
    own = _list_objects(dataset, remote, missing_ok=True)
    used = _list_used(dataset.digest, remote, missing_ok=False)
    existing = remote.list_objects()
    objects = {md5: existing[md5] for md5 in sorted(own - used) if md5 in existing}
    return Withdrawal(dataset.digest, objects, len(own & used))


def withdraw(withdrawal: Withdrawal, remote: Remote) -> None:
    """
    Delete the objects, listings after their files, then the document.

    Raises DataError when a dataset was pushed during the withdrawal that needs one of the deleted objects.
    """
    for md5 in sorted(withdrawal.objects, key=lambda md5: (md5.endswith(".dir"), md5)):
        remote.remove_object(md5)
    remote.remove_document(withdrawal.digest)
    missing = _list_used(withdrawal.digest, remote, missing_ok=True) - remote.list_objects().keys()
    if lost := withdrawal.objects.keys() & missing:
        raise DataError(
            f"{remote.url}: a dataset pushed during the withdrawal uses {len(lost)} of the deleted objects; "
            "push it again"
        )


def _list_used(digest: str, remote: Remote, missing_ok: bool) -> set[str]:
    """Return the objects of all datasets but one."""
    others = (document.digest for document in remote.list_documents() if document.digest != digest)
    return set().union(*(_list_objects(read_dataset(remote, other), remote, missing_ok) for other in others))


def _list_objects(dataset: Dataset, remote: Remote, missing_ok: bool) -> set[str]:
    """Return the objects of a dataset: each table's listing and its files."""
    listings = {table.md5 for table in dataset.tables.values()}
    objects = set(listings)
    for listing in listings:
        with suppress(FileNotFoundError):
            objects |= remote.list_directory(listing)
            continue
        if not missing_ok:
            raise DataError(f"{remote.url}: {listing} of dataset {dataset.digest} is missing; withdraw that one first")
    return objects
