"""The scoring pipeline's search for drift."""

from pathlib import Path

import pytest
from tests.support.drift_samples import make_impressions
from tests.support.pipeline_artifact import PipelineArtifact
from tests.support.trigger_stub import TOKEN, trigger_server

from adloom.config.base import ConfigModel
from adloom.config.drift import Drift
from adloom.kubeflow.drift_runtime import UNSET, find_drift
from adloom.storage import manifest, parquet

Tables = dict[str, PipelineArtifact]


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tables:
    """Recent impressions with other segments than those below `learned`, and skipped tables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADLOOM_TOKEN", TOKEN)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    for folder, segments in (("learned/impressions", "ab"), ("impressions", "aaab")):
        with manifest.draft(Path(folder), "prepare", ConfigModel(), {}) as draft:
            parquet.write(make_impressions(1000, len(segments), segments), draft.path)
    for name in ("creatives", "events"):
        manifest.skip(Path(name), "prepare", ConfigModel(), "no source")
    return {name: PipelineArtifact(str(tmp_path / name)) for name in ("creatives", "events", "impressions")}


@pytest.mark.slow
def test_an_alarm_asks_once_and_a_server_away_does_not_fail_the_pipeline(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = Drift(reference=str(tmp_path / "learned")).to_json()
    report, page = (PipelineArtifact(str(tmp_path / name)) for name in ("report", "page.html"))

    def find(url: str) -> str:
        monkeypatch.setenv("ADLOOM_TRIGGER_URL", url)
        find_drift("shop", block, tables, report, page)
        return str(report.metadata["retraining"])

    assert find("http://127.0.0.1:9/v1/trigger").endswith("nothing was requested")
    with trigger_server() as server:
        assert find(server.url).startswith("started: drift: impressions ctx_segment")
        assert find(server.url).startswith("already requested")
    assert len(server.requests) == 1
    assert "impressions ctx_segment PSI" in Path(page.path).read_text(encoding="utf-8")
    assert report.metadata["digest"] == manifest.digest(tmp_path / "report")


def test_without_a_reference_nothing_is_compared(tables: Tables, tmp_path: Path) -> None:
    report, page = (PipelineArtifact(str(tmp_path / name)) for name in ("report", "page.html"))
    find_drift("shop", Drift().to_json(), tables, report, page)
    assert manifest.read(tmp_path / "report").skipped == UNSET
    assert UNSET in Path(page.path).read_text(encoding="utf-8")
