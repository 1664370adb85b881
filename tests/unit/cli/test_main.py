"""How a command ends."""

import sys

import pytest

from adloom.cli import main as command_line


def interrupt(**_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["stylize", "run", "style.png", "out.png"], "adloom: interrupted\n"),
        (["doctor"], "adloom: interrupted\n"),
        (["train-cnn"], "adloom: interrupted; the same command goes on from the last checkpoint\n"),
        (["tune", "train-cnn"], "adloom: interrupted; the same command goes on from the last checkpoint\n"),
    ],
    ids=str,
)
def test_ctrl_c_speaks_of_a_checkpoint_only_where_there_is_one(
    arguments: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["adloom", *arguments])
    monkeypatch.setattr(command_line, "cli", interrupt)
    with pytest.raises(SystemExit, match="130"):
        command_line.main()
    assert capsys.readouterr().err == line
