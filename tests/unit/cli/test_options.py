"""Values are printed for people and for programs."""

import json

import pytest

from adloom.cli.options import print_values

VALUES = {"loss": 0.123456, "rows": 3, "path": "data"}


def test_values_are_one_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_values(VALUES, as_json=False)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["loss", "0.1235"],
        ["rows", "3"],
        ["path", "data"],
    ]


def test_values_are_json_with_every_digit(capsys: pytest.CaptureFixture[str]) -> None:
    print_values(VALUES, as_json=True)
    assert json.loads(capsys.readouterr().out) == VALUES
