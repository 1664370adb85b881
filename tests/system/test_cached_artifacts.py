"""The first task of a pipeline notices that artifacts which the server's cache would give are gone."""

from pathlib import Path

import pytest
from tests.support import seaweedfs, shop
from tests.support.pipeline_artifact import PipelineArtifact
from tests.support.seaweedfs import ACCESS, BUCKET, SECRET, Server

from adloom.config import params
from adloom.config.params import TrainLstm
from adloom.config.settings import Settings
from adloom.config.sources import Ingest
from adloom.errors import ExternalServiceError
from adloom.kubeflow import cache, component_runtime
from adloom.storage.base import ObjectStore

DIGESTS = {"events": "e" * 64, "copy": ""}
FILES = ("manifest.json", "rows-0.parquet")


class Cluster:
    """A cluster's S3 servers, which are one here, and the notes of one project."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.root = server, f"{name}/v2/artifacts/training/run/prepare/rows"
        self.settings = Settings(
            checkpoint_uri=f"s3://{BUCKET}/{name}/checkpoints",
            artifacts_endpoint=server.endpoint,
            artifacts_access_key=ACCESS,
            artifacts_secret_key=SECRET,
            quiet=True,
        )
        notes = cache.open_notes(self.settings, "shop")
        assert notes
        self.notes: ObjectStore = notes

    def keys(self) -> dict[str, str]:
        return cache.assign_keys(DIGESTS, self.notes, self.settings)

    def make(self, folder: Path, table: str, key: str, scheme: str = "minio") -> None:
        """Make an artifact as a task does, and keep it as the server does."""
        folder.mkdir(exist_ok=True)
        for name in FILES:
            (folder / name).write_text(name, encoding="utf-8")
            self.server.put(BUCKET, f"{self.root}/{name}", name.encode())
        cache.write_note(f"{scheme}://{BUCKET}/{self.root}", folder, [cache.note_folder(table, key)], self.notes)

    def lose(self, name: str) -> None:
        self.server.client.delete_object(Bucket=BUCKET, Key=f"{self.root}/{name}")


@pytest.fixture
def cluster(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    seaweedfs.visit(server, monkeypatch)
    return Cluster(server, tmp_path.name)


def test_a_key_is_the_digest_and_a_generation_that_stays(cluster: Cluster) -> None:
    first = cluster.keys()
    assert {table: key.partition(".")[0] for table, key in first.items()} == DIGESTS
    assert cluster.keys() == first


@pytest.mark.parametrize("scheme", ["minio", "s3"])
@pytest.mark.parametrize("name", FILES)
def test_an_artifact_that_lost_a_file_changes_the_key_of_its_table_alone(
    cluster: Cluster, tmp_path: Path, scheme: str, name: str
) -> None:
    first = cluster.keys()
    cluster.make(tmp_path / "rows", "events", first["events"], scheme)
    assert cluster.keys() == first
    cluster.lose(name)
    second = cluster.keys()
    assert second["copy"] == first["copy"]
    assert second["events"] != first["events"]
    assert cluster.keys() == second, "what is gone of an older generation no longer counts"


def test_an_unreadable_artifact_counts_as_missing(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = cluster.keys()
    cluster.make(tmp_path / "rows", "events", first["events"], "gs")
    assert cluster.keys()["events"] != first["events"]
    assert f"gs://{BUCKET}: expected s3:// or minio:// as root of the pipelines' artifacts" in caplog.text


def test_refused_credentials_count_as_missing_and_a_dead_server_fails_the_task(
    cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = cluster.keys()
    cluster.make(tmp_path / "rows", "events", first["events"])
    away = cluster.settings.model_copy(update={"artifacts_endpoint": "http://127.0.0.1:9"})
    with pytest.raises(ExternalServiceError, match=r"no answer from http://127\.0\.0\.1:9"):
        cache.assign_keys(DIGESTS, cluster.notes, away)
    assert cluster.keys() == first
    stranger = cluster.settings.model_copy(update={"artifacts_access_key": "stranger"})
    assert cache.assign_keys(DIGESTS, cluster.notes, stranger)["events"] != first["events"]
    assert "the tasks that depend on it run again" in caplog.text


def test_lost_or_disabled_notes_give_new_keys(cluster: Cluster) -> None:
    first = cluster.keys()
    for key in cluster.notes.list(""):
        cluster.notes.remove(key)
    assert cluster.keys()["events"] != first["events"]
    unknown = Settings(quiet=True)
    assert cache.open_notes(unknown, "shop") is None
    assert cache.assign_keys(DIGESTS, None, unknown) != cache.assign_keys(DIGESTS, None, unknown)


def test_tasks_note_their_artifacts_and_the_next_run_checks_them(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADLOOM_CHECKPOINT_URI", str(cluster.settings.checkpoint_uri))
    monkeypatch.setenv("ADLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    Path("lines.csv").write_text("text\nwarm hat\n", encoding="utf-8")
    lines = Ingest.model_validate({"copy": {"uri": "lines.csv", "format": "csv"}}).to_json()
    prepared = params.load(shop.SHIPPED).prepare.for_table("copy").to_json()

    def look() -> dict[str, str]:
        return component_runtime.scan_sources("shop", {"copy": lines}, prepared, "", "a test")

    found, rows, lstm = look(), PipelineArtifact("kfp/rows"), PipelineArtifact("kfp/lstm")
    component_runtime.prepare("shop", "copy", lines, prepared, found["copy"], "", rows)
    off = TrainLstm.model_validate({**params.load(shop.SHIPPED).train_lstm.model_dump(), "enabled": False}).to_json()
    component_runtime.run_stage("train-lstm", "shop", off, {"copy": rows}, {"lstm": lstm})
    assert look() == found
    assert rows.metadata["lanes"] == lstm.metadata["lanes"] == cache.note_folder("copy", found["copy"])
    (Path(lstm.path) / "manifest.json").unlink()  # which expired
    again = look()
    assert {name for name in found if again[name] != found[name]} == {"copy"}
    component_runtime.prepare("shop", "copy", lines, prepared, again["copy"], "", rows)
    assert look() == again
