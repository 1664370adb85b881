"""A tracked run: its tags, its draft, and its failure."""

from pathlib import Path

import pandas as pd
import pytest
from tests.conftest import MakeTable

from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.errors import ArtifactError
from adloom.storage import manifest
from adloom.tracking.memory import MemoryTracker
from adloom.training.tracked_run import track_run

PARAMS = Source(uri="by hand")


@pytest.fixture
def table(make_table: MakeTable) -> Path:
    return make_table("copy", pd.DataFrame({"text": ["a line"], "split": ["train"]}))


def test_the_run_and_the_artifact_name_each_other(table: Path, tmp_path: Path, context: StageContext) -> None:
    assert isinstance(context.tracker, MemoryTracker)
    target = tmp_path / "model"
    with track_run("segment", table, target, PARAMS, context, {"other": table}) as (draft, run):
        draft.write_json("history.json", {})
        run.log_metrics({"loss": 1.0}, 1)
    artifact = manifest.verify(target)
    assert artifact.inputs == {"table": manifest.digest(table), "other": manifest.digest(table)}
    [tracked] = context.tracker.runs
    assert tracked.recorded_tags == {
        "dataset_digest": manifest.digest(table),
        "params_digest": PARAMS.digest(),
        "manifest_digest": manifest.digest(target),
    }


def test_a_failed_block_leaves_no_artifact(table: Path, tmp_path: Path, context: StageContext) -> None:
    with pytest.raises(RuntimeError), track_run("segment", table, tmp_path / "model", PARAMS, context):
        raise RuntimeError
    assert not (tmp_path / "model").exists()


def test_a_modified_table_is_refused(table: Path, tmp_path: Path, context: StageContext) -> None:
    next(table.glob("*.parquet")).write_bytes(b"modified")
    with pytest.raises(ArtifactError), track_run("segment", table, tmp_path / "model", PARAMS, context):
        pass
