"""Small objects: written, read, and absent."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adloom.storage.base import read_object, write_object
from adloom.storage.local import FolderObjectStore


@pytest.mark.slow
@given(content=st.binary(max_size=100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_object_is_read_as_it_was_written(content: bytes, tmp_path: Path) -> None:
    store = FolderObjectStore(str(tmp_path))
    write_object(store, "folder/name", content)
    assert read_object(store, "folder/name") == content


def test_an_absent_object_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_object(FolderObjectStore(str(tmp_path)), "name")
