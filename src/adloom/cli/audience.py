"""`adloom segment-users`, `segment-sql` and `segment-export`: segments outside the pipeline."""

import getpass
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adloom.cli.options import AS_JSON, PARAMS, FiniteRange, check_outputs, load_context, print_values, write_output

if TYPE_CHECKING:
    from adloom.audience.sql import Dialect

MODEL = click.option(
    "--model", type=Path, help="Folder of the segments, such as models/audience; without it the registry's champion."
)


@contextmanager
def open_audience(model: Path | None, params_path: Path) -> Iterator[Path]:
    """Yield the verified artifact of the segments. Raises ConfigError when it was skipped, or is another model."""
    from adloom.errors import ConfigError
    from adloom.registry.base import fetch_champion
    from adloom.storage import manifest

    with tempfile.TemporaryDirectory(prefix="adloom-") as scratch:
        if model is None:
            model = fetch_champion(load_context(params_path)[1].registry, "audience", Path(scratch) / "audience")[1]
        made = manifest.verify(model)
        if made.stage != "segment":
            raise ConfigError(f"{model}: made by {made.stage}, expected segments; name models/audience or the like")
        if made.skipped:
            raise ConfigError(f"{model}: skipped: {made.skipped}")
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
    from adloom.stages.segment_users import FeatureTable
    from adloom.stages.segment_users import segment_users as assign_users
    from adloom.storage.router import open_object_store

    settings = Settings()
    store = open_store(settings)
    store.require(target)
    with open_audience(model, params_path) as audience:
        features = FeatureTable.open(table, store)
        counts = assign_users(features, open_object_store(target, settings.s3_endpoint), audience)
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


@click.command("segment-export")
@click.argument("segment", metavar="SEGMENT")
@click.argument("target", metavar="OUT", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--consent", required=True, metavar="TABLE", help="Table of user_id and consent as of now.")
@click.option(
    "--identifier",
    type=click.Choice(["pseudonym", "email", "phone"]),
    default="pseudonym",
    show_default=True,
    help="What to export; e-mail addresses and phone numbers are hashed by SHA-256.",
)
@click.option("--contacts", metavar="TABLE", help="Table of user_id and email or phone.")
@click.option(
    "--platform",
    type=click.Choice(["google", "meta"]),
    default="google",
    show_default=True,
    help="Platform that takes the file; its rules normalise contacts before they are hashed.",
)
@click.option("--region", metavar="CODE", help="Country of phone numbers without a country code, such as DE.")
@click.option("--match-rate", type=FiniteRange(0, 1), help="Share that the platform matched last time.")
@click.option(
    "--audit",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of audit records; by default exports in ADLOOM_HOME.",
)
@click.option("--by", default=getpass.getuser, show_default="the system's user", help="Who exports.")
@MODEL
@PARAMS
@AS_JSON
def segment_export(
    target: Path, audit: Path | None, by: str, model: Path | None, params_path: Path, as_json: bool, **options: Any
) -> None:
    """
    Export the users of a segment who consent, for an ad platform, and record who did.

    OUT is a .csv or .parquet file with one column. Tables are CSV or Parquet, local or in S3, with user ids as the
    advertiser has them.

    Example: adloom segment-export segment-1 loyal.csv --consent crm.csv --identifier email --contacts crm.csv
    """
    from adloom.config.settings import Settings
    from adloom.context import open_store, read_pseudonym_key
    from adloom.stages import segment_export as stage

    check_outputs([target])
    settings, request = Settings(), stage.Request(**options)
    with open_audience(model, params_path) as audience:
        export = stage.export_segment(request, audience, read_pseudonym_key(settings), open_store(settings))
        content = stage.render(request, export, target.suffix)
        record = stage.describe_export(request, audience, export.count(), content, by)
    path = stage.write_audit(record, audit or settings.home / "exports")
    write_output(target, content)
    print_values({**record, "audit": str(path)}, as_json)
