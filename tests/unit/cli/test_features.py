"""The command that updates features, and the one that reads them."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from tests.conftest import MakeTable
from tests.support.tiny_models import write_audience
from tests.support.toy_shops import events

from adloom.cli.main import cli
from adloom.errors import DataError

PARAMS = str(Path(__file__).parents[3] / "params.yaml")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--params", PARAMS])


@pytest.mark.slow
def test_users_are_segmented_after_each_day(make_table: MakeTable, tmp_path: Path) -> None:
    write_audience(tmp_path / "audience")
    state, users, out = (str(tmp_path / name) for name in ("state", "users", "out"))
    for day, user in ((1, "a"), (2, "b")):
        table = str(make_table("events", events([(user, f"2025-12-0{day}", 5.0)])))
        result = run("update-features", table, state, "--out", users, "--as-of", "2026-01-01", "--json")
        assert result.exit_code == 0, result.output
    assert '"layers": 2' in result.output
    assert run("segment-users", users, out, "--model", str(tmp_path / "audience")).exit_code == 0
    assert pq.read_table(f"{out}/part-00000-00000.parquet")["user_id"].to_pylist() == ["a", "b"]
    assert isinstance(run("update-features", table, state).exception, DataError)
