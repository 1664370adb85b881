"""Files of secrets: what is read, and that nothing blocks."""

import os
from pathlib import Path

import pytest

from adloom.storage import files


def test_a_secret_is_read_with_its_mode(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"secret\n")
    (tmp_path / "key").chmod(0o640)
    assert files.read_secret(tmp_path / "key") == (b"secret\n", 0o640)
    assert files.read_secret_text(tmp_path / "key") == ("secret\n", 0o640)


def test_what_is_not_a_small_text_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * (files.LIMIT + 1))
    (tmp_path / "bytes").write_bytes(b"\xff")
    for name, reason in {"pipe": "not a file", "large": "more than", "bytes": "not text", "gone": "No such"}.items():
        with pytest.raises((OSError, ValueError)) as caught:
            files.read_secret_text(tmp_path / name)
        assert isinstance(caught.value, OSError | ValueError)
        assert reason in files.failure_reason(caught.value)
        assert str(tmp_path) not in files.failure_reason(caught.value)


def test_a_private_file_replaces_another_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("keep")
    (tmp_path / "rows").symlink_to(tmp_path / "target")
    with files.create_private(tmp_path / "rows") as stream:
        stream.write(b"rows")
    assert (tmp_path / "rows").stat().st_mode & 0o777 == 0o600
    assert ((tmp_path / "rows").read_bytes(), (tmp_path / "target").read_text()) == (b"rows", "keep")
