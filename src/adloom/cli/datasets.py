"""The commands that move datasets and repeat runs: dataset push, list, pull; reproduce."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from adloom.cli.main import AS_JSON, PARAMS, opened, show
from adloom.config.settings import Settings
from adloom.context import build_context
from adloom.datasets import dataset as datasets
from adloom.datasets import pull, run_record, withdraw, workspace
from adloom.datasets import reproduce as verb
from adloom.datasets.dataset import StoredDataset
from adloom.datasets.dvc_remote import open_remote
from adloom.errors import AdloomError

MEGABYTE = 1_000_000


@click.group("dataset")
def dataset() -> None:
    """
    Move the prepared dataset to and from DVC's remote, by its digest, or delete it there.

    Example: adloom dataset push
    """


@dataset.command("push", short_help="Bring the prepared tables into the remote.")
@PARAMS
@click.option("--from", "place", type=Path, default=datasets.FOLDER, show_default=True, help="Folder of the tables.")
@AS_JSON
def push(params_path: Path, place: Path, as_json: bool) -> None:
    """
    Bring the prepared tables into the remote and print the dataset's digest; what is there is not sent again.

    Example: adloom dataset push --from data/dataset
    """
    loaded, context = opened(params_path)
    own = place.resolve() == datasets.FOLDER.resolve()  # which `adloom run` writes
    with workspace.lock_workspace(context.home, Path()) if own else nullcontext():
        pushed = datasets.push(loaded.project, datasets.table_folders(place), open_remote(Settings()))
    if as_json:
        show({"digest": pushed.digest, "sent": pushed.sent}, as_json)
    else:
        click.echo(pushed.digest)


@dataset.command("list", short_help="List the project's datasets in the remote.")
@PARAMS
@AS_JSON
def list_datasets(params_path: Path, as_json: bool) -> None:
    """
    List the project's datasets in the remote, oldest first: digest, when it was pushed, size, rows of each table.

    Example: adloom dataset list --json
    """
    loaded, _ = opened(params_path)
    found = datasets.list_datasets(loaded.project, open_remote(Settings()))
    lines = [json.dumps([_row(one) for one in found], indent=1)] if as_json else [_line(one) for one in found]
    for line in lines or ["no datasets; `adloom dataset push` brings one there"]:
        click.echo(line)


@dataset.command("pull", short_help="Make a dataset of the remote the one here.")
@click.argument("digest")
@PARAMS
@click.option("--force", is_flag=True, help="Replace tables even when they cannot be had again.")
@AS_JSON
def pull_dataset(digest: str, params_path: Path, force: bool, as_json: bool) -> None:
    """
    Make a dataset of the remote the one in data/dataset; `dvc repro` and `adloom run` go on from there.

    DIGEST is the dataset's digest, or the first 8 digits of it or more.

    Example: adloom dataset pull 1f3a9c07
    """
    loaded, context = opened(params_path)
    source = open_remote(Settings())
    with workspace.lock_workspace(context.home, Path()):
        found = datasets.find_dataset(digest, loaded.project, source)
        brought = pull.pull_dataset(found, loaded, source, Path(), force)
    show({"digest": found.digest, "brought": brought, **_rows(found)}, as_json)


@dataset.command("withdraw", short_help="Delete one dataset from the remote.")
@click.argument("digest")
@PARAMS
@click.option("--dry-run", is_flag=True, help="Say what would be deleted; delete nothing.")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@AS_JSON
def withdraw_dataset(digest: str, params_path: Path, dry_run: bool, yes: bool, as_json: bool) -> None:
    """
    Delete one dataset from the remote; objects that other datasets have as well stay.

    DIGEST is the dataset's digest, or the first 8 digits of it or more. Folders and DVC caches that pulled it keep it.

    Example: adloom dataset withdraw 1f3a9c07 --dry-run
    """
    loaded, _ = opened(params_path)
    source = open_remote(Settings())
    planned = withdraw.plan_withdrawal(datasets.find_dataset(digest, loaded.project, source), source)
    told = {"digest": planned.digest, "objects": len(planned.objects), "bytes": sum(planned.objects.values())}
    show({**told, "shared": planned.shared}, as_json)
    if dry_run:
        return
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here; --yes deletes without asking, --dry-run deletes nothing")
    if yes or click.confirm(f"Delete this dataset from {source.url} for good?", err=True):
        withdraw.withdraw(planned, source)
        click.echo(f"{planned.digest}: deleted from {source.url}", err=True)


@click.command("reproduce")
@click.argument("run_id")
@click.option("--into", type=Path, metavar="DIR", help="Make it again in this folder, and keep it.")
def reproduce(run_id: str, into: Path | None) -> None:
    """
    Make a recorded run again, from its commit, params and dataset, and compare what comes out.

    RUN_ID is a run in MLflow that `adloom run` or a pipeline recorded. On the same type of CPU every artifact must have
    the same digest, on another every number must lie in its interval. A difference exits with 1,
    and the folder is then kept.

    Example: adloom reproduce d2ce4c03084d40afb5256f6d57b2a19a --into again
    """
    settings = Settings()
    made = run_record.read_record(run_id, build_context(settings, project="").tracker)
    rows = verb.reproduce(run_id, made, settings, into)
    width = max(len(row.name) for row in rows)
    click.echo(f"{'':{width}}  recorded / here")
    for row in rows:
        click.echo(f"{row.name:{width}}  {row.recorded} / {row.here}  {'equal' if row.equal else 'differs'}")
    if first := next((row for row in rows if not row.equal), None):
        machines = "; ".join(verb.describe_differences(made)) or "the same CPU and packages"
        raise AdloomError(f"{first.name}: recorded {first.recorded}, here {first.here}; {machines}")


def _row(one: StoredDataset) -> dict[str, Any]:
    size = sum(table.bytes for table in one.dataset.tables.values())
    return {"digest": one.digest, "pushed": one.written.isoformat(), "bytes": size, "rows": _rows(one.dataset)}


def _line(one: StoredDataset) -> str:
    size = sum(table.bytes for table in one.dataset.tables.values()) / MEGABYTE
    rows = "  ".join(f"{table} {count}" for table, count in _rows(one.dataset).items())
    return f"{one.digest}  {one.written:%Y-%m-%d %H:%M}  {size:8.1f} MB  {rows}"


def _rows(found: datasets.Dataset) -> dict[str, int]:
    """Return the rows of each table that it is trained and measured on."""
    apart = {"quarantined", "dropped"}
    return {
        table: sum(count for split, count in made.rows.items() if split not in apart)
        for table, made in found.tables.items()
    }
