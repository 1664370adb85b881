from pathlib import Path

import pytest
from tests.unit.doctor.conftest import MakeContext

from adloom.doctor.checks import library
from adloom.library.location import open_library


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADLOOM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_no_library_is_made(make_context: MakeContext, home: Path) -> None:
    assert [finding.name for finding in library.check(make_context())] == ["library-not-asked"]
    assert not home.exists()


def test_a_library_is_opened_and_counted(make_context: MakeContext) -> None:
    context = make_context()
    open_library(context.settings).close()
    (found,) = library.check(context)
    assert found.name == "library-ok"
    assert "schema 0001, 0 creatives, 0 reviews; contents in" in found.found


def test_a_broken_database_is_named(make_context: MakeContext, home: Path) -> None:
    home.mkdir()
    (home / "library.db").write_bytes(b"a text\n" * 1000)
    (found,) = library.check(make_context())
    assert (found.name, "file is not a database" in found.found) == ("library-failed", True)
    assert found.next_step.startswith("check the file")


def test_files_that_cannot_be_written_are_named(make_context: MakeContext) -> None:
    context = make_context(ADLOOM_LIBRARY_FILES="/proc/self/library")
    open_library(context.settings).close()
    names = [finding.name for finding in library.check(context)]
    assert names == ["library-unwritable", "library-ok"]
