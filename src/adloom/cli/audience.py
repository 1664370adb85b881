"""`adloom segment-users`, `segment-sql` and `segment-export`: segments outside the pipeline."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adloom.cli.options import AS_JSON, PARAMS, load_context, print_values

if TYPE_CHECKING:
    from adloom.audience.sql import Dialect

MODEL = click.option(
    "--model", type=Path, help="Folder of the segments, such as models/audience; without it the registry's champion."
)


@contextmanager
def open_audience(model: Path | None, params_path: Path) -> Iterator[Path]:
    """Yield the verified artifact of the segments. Raises ConfigError when it was skipped."""
    from adloom.errors import ConfigError
    from adloom.registry.base import fetch_champion
    from adloom.storage import manifest

    with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
        if model is None:
            model = fetch_champion(load_context(params_path)[1].registry, "audience", Path(scratch) / "audience")[1]
        if skipped := manifest.verify(model).skipped:
            raise ConfigError(f"{model}: skipped: {skipped}")
        yield model


@click.command("segment-users")
@click.argument("table", metavar="IN")
@click.argument("target", metavar="OUT")
@MODEL
@PARAMS
@AS_JSON
def segment_users(table: str, target: str, model: Path | None, params_path: Path, as_json: bool) -> None:
    """
    Assign every user of a table of features to a segment.

    IN is a Parquet file or a folder of them, local or in S3, with user_id and the features of `POST /v1/segment`. OUT
    becomes a folder, local or in S3, of user_id, segment and reason. The same command goes on after an interruption.

    Example: adloom segment-users s3://shop/features s3://shop/segments
    """
    from adloom.config.settings import Settings
    from adloom.context import open_store
    from adloom.stages.segment_users import Source
    from adloom.stages.segment_users import segment_users as assign_users
    from adloom.storage.router import open_object_store

    settings = Settings()
    store = open_store(settings)
    store.require(target)
    with open_audience(model, params_path) as audience:
        counts = assign_users(Source.open(table, store), open_object_store(target, settings.s3_endpoint), audience)
    print_values(dict(counts), as_json)


@click.command("segment-sql")
@click.option(
    "--dialect",
    required=True,
    type=click.Choice(["duckdb", "spark", "bigquery", "snowflake"]),
    help="Database that runs the query.",
)
@click.option("--table", default="features", show_default=True, help="Table of user_id and features.")
@MODEL
@PARAMS
def segment_sql(dialect: "Dialect", table: str, model: Path | None, params_path: Path) -> None:
    """
    Print a query that assigns every user of a table in a database to a segment.

    Example: adloom segment-sql --dialect bigquery --table shop.features
    """
    from adloom.audience.segmenter import Segmenter
    from adloom.audience.sql import write_query

    with open_audience(model, params_path) as audience:
        click.echo(write_query(Segmenter.load(audience / "segmenter.npz"), dialect, table))
