"""SQL of the segmenter: the same answer as the model on every row, on real engines."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from tests.support.spark import local_spark

from adloom.audience.assignment import SUPPRESSED, assign, list_reasons
from adloom.audience.segmenter import FEATURES, FeatureScale, Segmenter
from adloom.audience.sql import MAX_PROTOTYPES, Dialect, write_query
from adloom.errors import ConfigError

ODD = [np.nan, np.inf, -np.inf, -1.0, 0.0, -0.0, 1.0, 1e-300, 1e300]


def draw_segmenter(prototypes: int = 9, weighted: bool = False) -> Segmenter:
    """Return a segmenter with two equal prototypes of different segments, a suppressed segment and perhaps weights."""
    rng = np.random.default_rng(3)
    scale = FeatureScale(rng.gamma(2, 9, 5), rng.normal(size=5), rng.gamma(2, 1, 5))
    points = rng.normal(size=(prototypes, 5))
    points[-1] = points[0]
    names = (*(f"segment-{i}" for i in range(1, prototypes)), SUPPRESSED)
    segmenter = Segmenter(scale, points, rng.permutation(prototypes), names)
    if not weighted:
        return segmenter
    weights, offsets = rng.gamma(2, 1, points.shape), rng.normal(size=prototypes)
    weights[1], offsets[1] = 0.0, 9.0  # noise, at a distance of its own
    weights[-1], offsets[-1] = weights[0], offsets[0]
    return replace(segmenter, weights=weights, offsets=offsets, noise=names[1])


def draw_rows(scale: FeatureScale, rows: int = 20_000) -> pd.DataFrame:
    """Return random features, a fifth of them odd, some rows all missing, and the median user."""
    rng = np.random.default_rng(5)
    features = np.expm1(np.abs(rng.normal(1, 2, (rows, 5))))
    odd = rng.random(features.shape) < 0.2
    features[odd] = rng.choice(ODD, odd.sum())
    features[:20], features[20:40] = np.nan, scale.median
    return pd.DataFrame(features, columns=list(FEATURES)).assign(user_id=[f"u{i:05}" for i in range(rows)])


def answer(segmenter: Segmenter, rows: pd.DataFrame) -> list[tuple[str, str | None, str | None]]:
    """Return the model's answers: user, segment and reason."""
    assigned = assign(segmenter, rows[list(FEATURES)].to_numpy())
    names, reasons = [None if n == SUPPRESSED else n for n in (*segmenter.names, SUPPRESSED)], list_reasons()
    triples = zip(rows["user_id"], assigned.segment, assigned.code, strict=True)
    return [(user, names[i], reasons[code]) for user, i, code in triples]


def write_rows(rows: pd.DataFrame, path: Path) -> Path:
    """Write rows as Parquet; missing features are NULL in the first half and NaN in the other."""
    table = pa.Table.from_pandas(rows, preserve_index=False)
    half = len(rows) // 2
    nan = pa.table({name: pa.array(rows[name].to_numpy(), from_pandas=False) for name in rows})
    pq.write_table(pa.concat_tables([table[:half], nan.cast(table.schema)[half:]]), path)
    return path


@pytest.mark.parametrize(("prototypes", "weighted"), [(1, False), (9, False), (9, True)])
def test_duckdb_answers_as_the_model(prototypes: int, weighted: bool, tmp_path: Path) -> None:
    segmenter = draw_segmenter(prototypes, weighted)
    rows = draw_rows(segmenter.scale)
    connection = duckdb.connect()
    connection.read_parquet(str(write_rows(rows, tmp_path / "features.parquet"))).create_view("features")
    null, nan = "frequency IS NULL", "isnan(frequency)"
    assert connection.execute(f"SELECT sum(({null})::int) > 9 AND sum(({nan})::int) > 9 FROM features").fetchone() == (
        True,
    )
    assert sorted(connection.execute(write_query(segmenter, "duckdb", "features")).fetchall()) == answer(
        segmenter, rows
    )


@pytest.mark.slow
def test_spark_answers_as_the_model(tmp_path: Path) -> None:
    segmenter = draw_segmenter(weighted=True)
    rows = draw_rows(segmenter.scale)
    path = write_rows(rows, tmp_path / "features.parquet")
    with local_spark(tmp_path / "warehouse") as spark:
        spark.read.parquet(str(path)).createOrReplaceTempView("features")
        result = [tuple(row) for row in spark.sql(write_query(segmenter, "spark", "features")).collect()]
    assert sorted(result) == answer(segmenter, rows)


@pytest.mark.parametrize("dialect", get_args(Dialect))
def test_each_dialect_parses_and_means_the_same(dialect: Dialect) -> None:
    segmenter = draw_segmenter(weighted=True)
    query = write_query(segmenter, dialect, "shop.audience.features")
    (parsed,) = sqlglot.parse(query, dialect=dialect)
    assert isinstance(parsed, sqlglot.exp.Select)
    assert [column.alias_or_name for column in parsed.selects] == ["user_id", "segment", "reason"]
    rows = draw_rows(segmenter.scale, 300)
    connection = duckdb.connect()
    connection.register("features", rows)
    back = parsed.sql(dialect="duckdb").replace("shop.audience.features", "features")
    assert sorted(connection.execute(back).fetchall()) == answer(segmenter, rows)


def test_a_segmenter_of_many_prototypes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^segmenter: 401 prototypes, SQL allows at most 400; use `adloom segment-u"):
        write_query(draw_segmenter(MAX_PROTOTYPES + 1), "duckdb", "features")


@pytest.mark.parametrize("table", ["a; DROP TABLE b", "(SELECT 1)", "a b", "'", ""])
def test_an_invalid_name_of_a_table_is_refused(table: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^--table .*: expected the name of a table in duckdb, such as shop.features$"
    ):
        write_query(draw_segmenter(), "duckdb", table)
