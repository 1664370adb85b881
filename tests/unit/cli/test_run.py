"""`adloom run` repeats the warnings about tables that `prepare` left alone."""

import json
import os
from pathlib import Path

import pytest

from adloom.cli.run import warn_of_unchanged_tables


def test_only_unchanged_tables_are_warned_of_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = {name: tmp_path / name for name in ("creatives", "copy", "events")}
    for name, written in {"copy": 100.0, "events": 300.0}.items():
        tables[name].mkdir()
        summary = tables[name] / "summary.json"
        summary.write_text(json.dumps({"warnings": [f"{name} is odd"]}), encoding="utf-8")
        os.utime(summary, (written, written))
    warn_of_unchanged_tables(tables, start=200.0)
    assert capsys.readouterr().err == "copy: copy is odd\n"
