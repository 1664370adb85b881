"""The commands by which people list, promote and roll back versions."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adloom.cli import models
from adloom.cli.main import cli
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.storage import manifest


@pytest.fixture(autouse=True)
def _two_versions(tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        with manifest.draft(tmp_path / f"cnn-{number}", "train_cnn", Source(uri=str(number)), {}):
            pass
        context.registry.register("cnn", tmp_path / f"cnn-{number}", {"verdict": "promote"})
    monkeypatch.setattr(models, "load_context", lambda path: (None, context))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def aliases() -> list[tuple[int, list[str]]]:
    return [(row["version"], row["aliases"]) for row in json.loads(call("models", "--json").stdout)]


def test_a_person_promotes_and_rolls_back_with_a_reason() -> None:
    assert call("promote", "cnn", "1", "--reason", "sharp").stdout == "cnn: version 1 is the champion\n"
    call("promote", "cnn", "2", "--reason", "sharper")
    assert aliases() == [(1, []), (2, ["champion"])]
    assert call("rollback", "cnn", "--reason", "no handles").stdout == "cnn: version 1 is the champion again\n"
    assert aliases() == [(1, ["champion"]), (2, [])]
    assert "no handles" in call("models").stdout


def test_no_reason_and_an_unknown_version_change_nothing() -> None:
    assert call("promote", "cnn", "1").exit_code == 2
    assert call("promote", "cnn", "9", "--reason", "typing error").exit_code != 0
    assert aliases() == [(1, []), (2, [])]
