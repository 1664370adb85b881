"""Cache keys stay while the noted artifacts exist, and change when one is missing."""

from pathlib import Path

import pytest

from adloom.config.settings import Settings
from adloom.kubeflow import cache
from adloom.storage.base import ObjectStore

DIGESTS = {"events": "d1", "copy": ""}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(checkpoint_uri=str(tmp_path / "bucket"))


@pytest.fixture
def notes(settings: Settings) -> ObjectStore:
    store = cache.open_notes(settings, "shop")
    assert store is not None
    return store


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "rows.parquet").write_bytes(b"rows")
    return folder


def test_a_key_has_the_digest_and_stays(notes: ObjectStore, settings: Settings) -> None:
    first = cache.assign_keys(DIGESTS, notes, settings)
    assert {table: key.partition(".")[0] for table, key in first.items()} == DIGESTS
    assert cache.assign_keys(DIGESTS, notes, settings) == first


def test_a_missing_artifact_makes_a_new_key_of_its_table_alone(
    notes: ObjectStore, settings: Settings, artifact: Path
) -> None:
    first = cache.assign_keys(DIGESTS, notes, settings)
    cache.write_note(str(artifact), artifact, [cache.note_folder("events", first["events"])], notes)
    assert cache.assign_keys(DIGESTS, notes, settings) == first
    (artifact / "rows.parquet").unlink()
    second = cache.assign_keys(DIGESTS, notes, settings)
    assert second["copy"] == first["copy"]
    assert second["events"] > first["events"]


def test_without_notes_no_key_comes_twice() -> None:
    settings = Settings()
    assert cache.open_notes(settings, "shop") is None
    assert cache.assign_keys(DIGESTS, None, settings) != cache.assign_keys(DIGESTS, None, settings)
