"""The context of a stage is built from the settings, and opens nothing."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from adloom.config.settings import Settings
from adloom.context import build_context, read_checkpoint_uri, read_pseudonym_key
from adloom.errors import ConfigError
from adloom.registry.mlflow import MlflowRegistry
from adloom.tracking.mlflow import MlflowTracker

KEY = "0123456789abcdef"


def test_a_context_creates_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    context = build_context(Settings(home=tmp_path / "home"), "shop")
    assert isinstance(context.registry, MlflowRegistry)
    assert isinstance(context.tracker, MlflowTracker)
    assert context.registry.uri == context.tracker.uri == uri
    assert context.registry.project == context.tracker.project == "shop"
    assert (context.rank, context.processes) == (0, 1)
    assert context.registry.versions("gan") == []
    assert list(tmp_path.iterdir()) == []


def test_a_rank_counts_only_among_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    assert build_context(Settings(), "shop").rank == 0
    monkeypatch.setenv("WORLD_SIZE", "4")
    context = build_context(Settings(), "shop")
    assert (context.rank, context.processes) == (3, 4)


def test_the_key_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    assert read_pseudonym_key(Settings(pseudonym_key_file=path)) == KEY.encode()
    assert read_pseudonym_key(Settings(pseudonym_key=SecretStr(KEY))) == KEY.encode()
    assert read_pseudonym_key(Settings()) is None


def test_a_short_or_absent_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pseudonym key: 15 bytes, expected at least 16"):
        read_pseudonym_key(Settings(pseudonym_key=SecretStr(KEY[1:])))
    with pytest.raises(ConfigError, match=f"ADLOOM_PSEUDONYM_KEY_FILE={tmp_path / 'none'}: "):
        read_pseudonym_key(Settings(pseudonym_key_file=tmp_path / "none"))


def test_checkpoints_are_copied_to_s3_alone() -> None:
    assert read_checkpoint_uri(Settings(checkpoint_uri="s3://shop/checkpoints/")) == "s3://shop/checkpoints"
    assert read_checkpoint_uri(Settings()) is None
    with pytest.raises(ConfigError, match=r"ADLOOM_CHECKPOINT_URI=/tmp/here: expected s3://"):
        read_checkpoint_uri(Settings(checkpoint_uri="/tmp/here"))
