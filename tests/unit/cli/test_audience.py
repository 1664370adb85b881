"""Commands of segments: from the champion or a folder, and one line for a mistake."""

import json
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from tests.support.tiny_models import write_audience

from adloom.audience.segmenter import FEATURES
from adloom.cli.main import cli
from adloom.config.audience import Segment
from adloom.errors import ConfigError, DataError, UserError
from adloom.storage import manifest

ROWS = [[1.0, 1, 1, 1, None], [300, 1, 1, 1, None], [None, None, -1, 2, 3]]
ANSWERS = [
    ("u0", "segment-1", None),
    ("u1", "segment-2", None),
    ("u2", "segment-1", "recency_days missing, frequency missing, monetary invalid"),
]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with models/audience and features.parquet."""
    monkeypatch.chdir(tmp_path)
    write_audience(tmp_path / "models" / "audience")
    rows = pd.DataFrame(ROWS, columns=list(FEATURES)).assign(user_id=["u0", "u1", "u2"])
    rows.to_parquet("features.parquet")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--model", "models/audience"])


@pytest.mark.usefixtures("shop")
def test_users_of_a_table_are_assigned() -> None:
    result = run("segment-users", "features.parquet", "out", "--json")
    assert result.exit_code == 0, result.output
    table = pq.read_table("out/part-00000-00000.parquet")
    assert list(zip(*table.to_pydict().values(), strict=True)) == ANSWERS
    assert '"segment-1": 2' in result.output


@pytest.mark.usefixtures("shop")
def test_the_query_runs_in_a_database() -> None:
    result = run("segment-sql", "--dialect", "duckdb", "--table", "main.features")
    connection = duckdb.connect()
    connection.execute("CREATE TABLE features AS FROM 'features.parquet'")
    assert sorted(connection.execute(result.output).fetchall()) == ANSWERS


def test_a_missing_table_and_a_skipped_model_are_one_line(shop: Path) -> None:
    error = run("segment-users", "no.parquet", "out").exception
    assert isinstance(error, DataError)
    assert str(error).startswith("no.parquet: no such file or folder in ")
    manifest.skip(shop / "models" / "audience", "segment", Segment(), "no events")
    error = run("segment-users", "features.parquet", "out").exception
    assert isinstance(error, ConfigError)
    assert str(error) == "models/audience: skipped: no events"
    manifest.skip(shop / "models" / "audience", "recommend", Segment(), "no events")
    error = run("segment-sql", "--dialect", "duckdb").exception
    assert str(error) == "models/audience: made by recommend, expected segments; name models/audience or the like"


@pytest.mark.slow
def test_without_a_champion_the_line_says_how_to_get_one(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADLOOM_TRACKING_URI", f"sqlite:///{shop}/mlflow.db")
    (shop / "params.yaml").write_text((Path(__file__).parents[3] / "params.yaml").read_text(encoding="utf-8"))
    error = CliRunner().invoke(cli, ["segment-sql", "--dialect", "spark"]).exception
    assert isinstance(error, UserError)
    assert str(error).startswith("audience: no champion; `adloom run` makes one")


def test_a_segment_is_exported_with_a_record(shop: Path) -> None:
    users = [str(i) for i in range(30)]
    write_audience(shop / "models" / "audience", users=users)
    pd.DataFrame({"user_id": users, "consent": "yes"}).to_csv("consent.csv", index=False)
    result = run("segment-export", "segment-2", "out.csv", "--consent", "consent.csv", "--by", "ann", "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.output)
    record = json.loads(Path(printed.pop("audit")).read_text())
    assert record == printed
    assert (record["by"], record["identifiers"], record["expected_matches"]) == ("ann", 15, None)
    assert len((shop / "out.csv").read_text().splitlines()) == 16
