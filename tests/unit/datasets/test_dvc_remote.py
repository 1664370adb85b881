"""Remotes: where they are configured, and that an object never has a name of other content."""

import hashlib
from pathlib import Path

import pytest
from tests.unit.datasets.conftest import Make

from adloom.config.settings import Settings
from adloom.datasets import dvc_cache, dvc_remote
from adloom.datasets.dvc_remote import Remote
from adloom.errors import ConfigError, DataError


def test_a_file_that_changes_during_a_push_is_never_stored_under_a_wrong_name(
    make: Make, remote: Remote, tmp_path: Path
) -> None:
    folder = make("data", "warm hat")["copy"]
    content = dvc_cache.hash_folder(folder)
    (folder / "rows-00000.parquet").write_bytes(b"of another run")
    with pytest.raises(DataError, match=r"rows-00000.parquet: changed .*; push again"):
        remote.push(folder, content)
    for path in (path for path in (tmp_path / "remote").rglob("*") if path.is_file()):
        assert hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == path.parent.name + path.name


def test_without_a_remote_the_error_says_how_to_add_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`dvc remote add --default .*ADLOOM_DVC_REMOTE=s3://bucket/prefix"):
        dvc_remote.open_remote(Settings(), tmp_path)


def test_the_default_remote_of_dvc_is_used(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = ../kept\n")
    assert dvc_remote.open_remote(Settings(), tmp_path).url == str(tmp_path / "kept")
    (tmp_path / ".dvc" / "config").write_text("[core]\n    remote = stor\n")
    with pytest.raises(ConfigError, match="remote stor: "):
        dvc_remote.open_remote(Settings(), tmp_path)
