"""The commands of stages."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from adloom.cli.main import cli
from adloom.config.base import ConfigModel
from adloom.storage import manifest

PARAMS = Path(__file__).parents[3] / "params.yaml"


def test_a_skipped_stage_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manifest.skip(Path("tunes"), "prepare", ConfigModel(), "no source: ingest.tunes is not given")
    result = CliRunner().invoke(cli, ["train-music", "--tunes", "tunes", "--params", str(PARAMS)])
    assert (result.stdout, result.stderr) == ("", "skipped: no source: ingest.tunes is not given\n")
    assert manifest.read(Path("models/music")).skipped
