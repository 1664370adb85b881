import logging
import threading
from pathlib import Path

import pytest
from tests.support.creatives import make_creative, open_folder

from adloom.errors import UnavailableError
from adloom.library.library import Library
from adloom.library.records import content_id
from adloom.serving.library.shared_library import SharedLibrary, take_snapshot
from adloom.serving.models.card import ModelCard


def approve(library: Library, name: str, kind: str = "ad", **fields: object) -> str:
    creative = library.add(make_creative(name.encode(), kind, **fields), name.encode())
    return library.review(creative.id, "approved", "kim").id


def test_a_snapshot_has_the_approved_ads_by_category_and_size(library: Library) -> None:
    one = approve(library, "one", category="Bag", placement="300x250")
    other = approve(library, "other", placement="300x250")
    approve(library, "a picture", "picture", category="Bag")
    library.add(make_creative(b"a draft", "ad", category="Bag"), b"a draft")
    ads = take_snapshot(library).ads
    assert ads["Bag", "300x250"].ids == ads["Bag", None].ids == [one]
    assert ads[None, "300x250"].ids == ads[None, None].ids == [one, other]
    assert ads[None, None].categories == {one: "Bag"}
    assert len(ads) == 4


def test_a_snapshot_has_the_contents_of_approved_ads_and_lines(library: Library) -> None:
    one = approve(library, "one", category="Bag", text="Soft wool")
    line = approve(library, "New wool", "line", text="New wool")
    library.add(make_creative(b"a draft", "ad", text="Soft wool"), b"a draft")
    snapshot = take_snapshot(library)
    contents = snapshot.contents.describe(ModelCard())
    assert contents is not None
    assert contents.creatives.tolist() == [one, line]
    assert snapshot.ads[None, None].ids == [one]


def test_a_snapshot_has_the_rejected_draws(library: Library) -> None:
    for number in (0, 2):
        content = f"picture {number}".encode()
        library.add(make_creative(content, "picture", number=number, features={"draw": "abc"}), content)
        library.review(content_id(content), "rejected", "kim", "blurred")
    own = library.add(make_creative(b"own", "picture"), b"own")
    library.review(own.id, "rejected", "kim", "old")
    assert take_snapshot(library).rejected == {"abc": {0, 2}}


def test_a_refresh_reads_what_changed(library: Library) -> None:
    shared = SharedLibrary(lambda: library)
    shared.refresh()
    first = shared.snapshot
    shared.refresh()
    assert shared.snapshot is first  # nothing changed
    approve(library, "one")
    shared.refresh()
    assert shared.snapshot is not None
    assert len(shared.snapshot.ads[None, None].ids) == 1


def test_the_last_snapshot_serves_while_the_database_is_away(
    library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    away, looked = threading.Event(), threading.Semaphore(0)

    def exists() -> bool:
        looked.release()
        return True

    class Database(Library):
        def __init__(self) -> None:
            self.database, self.files = library.database, library.files

        def count_records(self) -> tuple[int, int]:
            if away.is_set():
                raise UnavailableError("connection refused")
            return super().count_records()

    approve(library, "one")
    shared = SharedLibrary(Database, exists, interval=0.01)
    with caplog.at_level(logging.WARNING):
        shared.start()
        first = shared.snapshot
        away.set()
        for _ in range(4):
            looked.acquire(timeout=10)
        shared.close()
    assert first is not None
    assert shared.snapshot is first
    assert shared.problem == "connection refused"
    assert caplog.text.count("the library was not read: connection refused") == 1  # not at each look


def test_a_library_that_nobody_made_is_not_made(tmp_path: Path) -> None:
    shared = SharedLibrary(lambda: open_folder(tmp_path), lambda: False, interval=60)
    shared.start()
    shared.close()
    assert shared.snapshot is None
    assert list(tmp_path.iterdir()) == []
