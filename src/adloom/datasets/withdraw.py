"""
Delete a dataset from a remote, with the objects that no other dataset uses.

The document is deleted last, so that an interrupted withdrawal can be repeated.
"""

from contextlib import suppress
from dataclasses import dataclass

from adloom.datasets.dataset import Dataset, read_dataset
from adloom.datasets.dvc_remote import Remote
from adloom.errors import DataError


@dataclass(frozen=True)
class Withdrawal:
    """A planned withdrawal."""

    digest: str
    objects: dict[str, int]  # to delete; MD5: bytes
    shared: int  # objects that other datasets use


def plan_withdrawal(dataset: Dataset, remote: Remote) -> Withdrawal:
    """Plan a withdrawal. Raises DataError when another dataset's objects are unknown."""
    own = _list_objects(dataset, remote, missing_ok=True)
    used = _list_used(dataset.digest, remote, missing_ok=False)
    existing = remote.list_objects()
    objects = {md5: existing[md5] for md5 in sorted(own - used) if md5 in existing}
    return Withdrawal(dataset.digest, objects, len(own & used))


def withdraw(withdrawal: Withdrawal, remote: Remote) -> None:
    """Delete objects and document. Raises DataError when a dataset pushed meanwhile uses a deleted object."""
    for md5 in sorted(withdrawal.objects, key=lambda md5: (md5.endswith(".dir"), md5)):  # listings last
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
    """Return the listings and files of a dataset."""
    listings = {table.md5 for table in dataset.tables.values()}
    objects = set(listings)
    for listing in listings:
        with suppress(FileNotFoundError):
            objects |= remote.list_directory(listing)
            continue
        if not missing_ok:
            raise DataError(f"{remote.url}: {listing} of dataset {dataset.digest} is missing; withdraw that one first")
    return objects
