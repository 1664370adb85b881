"""`adloom update-features`: features of users from new events alone."""

from datetime import datetime
from pathlib import Path

import click

from adloom.cli.options import AS_JSON, PARAMS, print_values


@click.command("update-features")
@click.argument("events", type=Path, metavar="EVENTS")
@click.argument("state", type=Path, metavar="STATE")
@click.option("--out", type=Path, help="Folder that becomes a Parquet table of the features of all users.")
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day (UTC) on which features are computed, from events before it; by default the day after the last event.",
)
@PARAMS
@AS_JSON
def update_features(
    events: Path, state: Path, out: Path | None, as_of: datetime | None, params_path: Path, as_json: bool
) -> None:
    """
    Count new events, and compute the features of all users without reading the events before.

    EVENTS is a prepared table of the events that came since the last update; they may be late. STATE is a folder that
    keeps what all updates counted; the first update begins it. `adloom segment-users` reads the table of features.

    Example: adloom update-features data/dataset/events data/features/state --out data/features/users
    """
    import pandas as pd

    from adloom.config.params import load
    from adloom.stages.update_features import update_features as count_events

    params = load(params_path).segment
    date = pd.Timestamp(as_of, tz="UTC") if as_of else None
    print_values(dict(count_events(events, state, out, params, date)), as_json)
