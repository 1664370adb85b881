"""What components do in a pod: only what they were started for, and the pipeline is told what came of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.pipeline_artifact import PipelineArtifact

from adloom.config.base import ConfigModel
from adloom.config.params import TABLES, Prepare, Score
from adloom.config.sources import Ingest
from adloom.creatives.cnn_evaluation import CONFUSION
from adloom.data import privacy
from adloom.errors import ConfigError, DataError
from adloom.evaluation.metric import Evaluation, Section, Table
from adloom.evaluation.sections import render_files
from adloom.kubeflow import component_runtime
from adloom.stages import sources_lock
from adloom.storage import manifest
from adloom.tracking.mlflow_server import MlflowConnection
from adloom.tracking.parent_run import ParentRun

KEY = "0123456789abcdef"
CSV = "customer,day\nann,2026-01-05\n"
SOURCE = {"format": "csv", "columns": {"user_id": "customer", "timestamp": "day"}, "constants": {"event": "purchase"}}


@pytest.fixture(scope="module")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of MLflow."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Orders in a file, and the environment of a pod."""
    for name, value in {"ADLOOM_PSEUDONYM_KEY": KEY, "ADLOOM_HOME": f"{tmp_path}/home", "CI": "true"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "orders.csv"
    path.write_text(CSV)
    return path


def block(orders: Path) -> str:
    return Ingest.model_validate({"events": {"uri": str(orders), **SOURCE}}).to_json()


def looked(orders: Path, expected: str = "") -> dict[str, str]:
    return component_runtime.scan_sources("shop", {"events": block(orders)}, PREPARE, expected, "a test")


def sources(found: dict[str, str]) -> dict[str, str]:
    """The digests of the sources."""
    digests: dict[str, str] = json.loads(found["sources"])
    return digests


def prepared(orders: Path, found: dict[str, str], rows: PipelineArtifact) -> dict[str, Any]:
    made = component_runtime.prepare("shop", "events", block(orders), PREPARE, found["events"], found["privacy"], rows)
    return dict(made)


PREPARE = Prepare.model_validate_json('{"events": {"holdout_start": "2026-02-01", "end": "2026-03-01"}}').to_json()


def test_each_table_has_a_digest_and_so_have_key_and_erasure_list(orders: Path) -> None:
    found = looked(orders)
    digests = sources(found)
    assert digests.keys() == {"creatives", "copy", "events", "impressions", "tunes", "privacy"}
    assert [name for name, digest in digests.items() if not digest] == ["copy", "creatives", "impressions", "tunes"]
    assert all(found[table].startswith(f"{digests[table]}.") for table in TABLES)
    orders.write_text(CSV + "bob,2026-01-06\n")
    assert [name for name, digest in sources(looked(orders)).items() if digest != digests[name]] == ["events"]


def test_other_sources_than_expected_are_named(orders: Path) -> None:
    expected = looked(orders)["sources"]
    assert looked(orders, expected)["sources"] == expected
    orders.write_text(CSV + "bob,2026-01-06\n")
    with pytest.raises(DataError, match="^sources: events changed since this pipeline scanned its sources; start"):
        looked(orders, expected)


def test_a_table_goes_from_its_source_to_prepared_rows(orders: Path) -> None:
    rows = PipelineArtifact("kfp/prepare/rows")
    assert prepared(orders, looked(orders), rows) == {"events_rows": 1, "events_quarantined": 0}
    assert rows.metadata["digest"] == manifest.digest(Path(rows.path))
    assert rows.metadata["rows_calibration"] == 1


def test_raw_rows_leave_nothing_behind_but_their_digest(orders: Path) -> None:
    rows = PipelineArtifact("kfp/prepare/rows")
    prepared(orders, looked(orders), rows)
    assert rows.metadata["raw_digest"] == manifest.read(Path(rows.path)).inputs["raw"]
    orders.unlink()
    everything = [path for path in Path().rglob("*") if path.is_file()]
    assert [path for path in everything if b"ann" in path.read_bytes()] == []


def test_a_source_that_changed_on_the_way_is_not_ingested(orders: Path) -> None:
    found = looked(orders)
    orders.write_text(CSV + "bob,2026-01-06\n")
    with pytest.raises(DataError, match=r"ingest.events: .*orders.csv changed since this pipeline"):
        prepared(orders, found, PipelineArtifact("rows"))
    assert not Path("rows").exists()


def test_another_key_than_the_one_looked_at_is_refused(orders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = looked(orders)
    monkeypatch.setenv("ADLOOM_PSEUDONYM_KEY", KEY[::-1])
    with pytest.raises(DataError, match="prepare.events: the pseudonym key or the erasure list changed since"):
        prepared(orders, found, PipelineArtifact("rows"))


def test_a_digest_is_a_function_of_what_is_locked() -> None:
    lock = sources_lock.SourcesLock(key=privacy.key_fingerprint(b"one"), erasure=None, tables={})
    other = lock.model_copy(update={"key": privacy.key_fingerprint(b"other")})
    assert lock.digests() == lock.model_copy().digests()
    assert lock.digests() != other.digests()


def test_a_confusion_matrix_is_read_from_a_report(tmp_path: Path) -> None:
    table = Table(CONFUSION, "", ["category", "hats", "shoes"], [["hats", 3, 1], ["shoes", 0, 4]])
    given: dict[str, list[Section]] = {"whole": [table], "bare": []}
    for name, sections in given.items():
        with manifest.draft(tmp_path / name / "cnn", "evaluate", ConfigModel(), {}) as made:
            for file, content in render_files(Evaluation({}, {}, sections)).items():
                (made.path / file).write_bytes(content)
    assert component_runtime.read_confusion_matrix(PipelineArtifact(str(tmp_path / "whole"))) == (
        ["hats", "shoes"],
        [[3, 1], [0, 4]],
    )
    assert component_runtime.read_confusion_matrix(PipelineArtifact(str(tmp_path / "bare"))) is None
    manifest.skip(tmp_path / "none" / "cnn", "evaluate", ConfigModel(), "no table")
    assert component_runtime.read_confusion_matrix(PipelineArtifact(str(tmp_path / "none"))) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ("SUCCEEDED", "FINISHED"),
        ("COMPLETE", "FINISHED"),
        ("CACHED", "FINISHED"),
        ("CANCELED", "KILLED"),
        ("CANCELLED", "KILLED"),
        ("FAILED", "FAILED"),
        ("RUNNING", "FAILED"),
        ("a word of tomorrow", "FAILED"),
    ],
)
def test_a_run_ends_in_mlflow_as_it_ended_on_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_database: str, state: str, ended: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_database)
    monkeypatch.setenv("KFP_RUN_ID", state)
    server = MlflowConnection(mlflow_database, "shop")
    ParentRun(None, state).start(server, "new orders")
    component_runtime.finish("shop", "run", state, "")
    parent = ParentRun(None, state)(server)
    found = server.client.get_run(parent)
    assert (found.info.status, found.data.tags["reason"]) == (ended, "new orders")


def test_a_pod_without_a_registry_is_refused_before_it_registers_into_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFP_RUN_ID", "run")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI: not set in this pod; put it into the ConfigMap adloom"):
        component_runtime.score(
            "shop",
            Score(to="s3://shop/scored").to_json(),
            PipelineArtifact("a"),
            PipelineArtifact("b"),
            PipelineArtifact("c"),
        )
