"""DVC's configuration: the remote of the environment, then DVC's default."""

from pathlib import Path

import pytest

from adloom.config.settings import Settings
from adloom.datasets.dvc_config import find_remote, read_config
from adloom.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".dvc").mkdir()
    return tmp_path


def configure(folder: Path, text: str) -> None:
    (folder / ".dvc" / "config").write_text(text)


def test_the_environment_takes_precedence_over_the_default(folder: Path) -> None:
    configure(
        folder, "[core]\n    remote = store\n['remote \"store\"']\n    url = s3://bucket/a\n    region = eu-west-1\n"
    )
    url, kind, options, root = find_remote(Settings(), folder)
    assert (url, kind.protocol, options["region"], root) == ("s3://bucket/a", "s3", "eu-west-1", "bucket/a")
    url, kind, _, root = find_remote(Settings(dvc_remote="/data"), folder)
    assert (url, kind.protocol, root) == ("/data", "local", "/data")


def test_no_remote_or_an_invalid_file_is_one_line(folder: Path) -> None:
    configure(folder, "")
    with pytest.raises(ConfigError, match="ADLOOM_DVC_REMOTE"):
        find_remote(Settings(), folder)
    configure(folder, "[core]\n    remote = other\n")
    with pytest.raises(ConfigError, match="remote other: "):
        find_remote(Settings(), folder)
    configure(folder, "[nonsense")
    with pytest.raises(ConfigError, match=r"\.dvc/config: "):
        read_config(folder)
