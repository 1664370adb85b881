"""`adloom dataset` and `adloom reproduce`: prepared datasets in DVC's remote, and repeated runs."""

import sys
from contextlib import nullcontext
from pathlib import Path

import click

from adloom.cli.options import AS_JSON, PARAMS, load_context, print_json, print_values
from adloom.config.settings import Settings
from adloom.context import build_context
from adloom.datasets import dataset as datasets
from adloom.datasets import pull, run_record, withdraw, workspace
from adloom.datasets import reproduce as reproduction
from adloom.datasets.dataset import StoredDataset
from adloom.datasets.dvc_remote import open_remote
from adloom.errors import AdloomError

MEGABYTE = 1_000_000
UNUSED_SPLITS = {"quarantined", "dropped"}  # neither trained nor evaluated on


@click.group("dataset")
def dataset() -> None:
    """
    Move the prepared dataset to and from DVC's remote, or delete it there.

    Example: adloom dataset push
    """


@dataset.command("push", short_help="Upload the prepared tables to the remote.")
@PARAMS
@click.option("--from", "folder", type=Path, default=datasets.FOLDER, show_default=True, help="Folder of the tables.")
@AS_JSON
def push(params_path: Path, folder: Path, as_json: bool) -> None:
    """
    Upload the prepared tables to the remote and print the dataset's digest; existing objects are not sent again.

    Example: adloom dataset push --from data/dataset
    """
    params, context = load_context(params_path)
    is_workspace = folder.resolve() == datasets.FOLDER.resolve()  # `adloom run` writes there
    with workspace.lock_workspace(context.home, Path()) if is_workspace else nullcontext():
        pushed = datasets.push(params.project, datasets.table_folders(folder), open_remote(Settings()))
    if as_json:
        print_json({"digest": pushed.digest, "sent": pushed.uploaded})
    else:
        click.echo(pushed.digest)


@dataset.command("list", short_help="List the project's datasets in the remote.")
@PARAMS
@AS_JSON
def list_datasets(params_path: Path, as_json: bool) -> None:
    """
    List the project's datasets in the remote, oldest first: digest, time of the upload, size, rows of each table.

    Example: adloom dataset list --json
    """
    params, _ = load_context(params_path)
    stored = datasets.list_datasets(params.project, open_remote(Settings()))
    if as_json:
        print_json(
            [
                {
                    "digest": each.digest,
                    "pushed": each.written.isoformat(),
                    "bytes": _count_bytes(each),
                    "rows": _count_rows(each.dataset),
                }
                for each in stored
            ]
        )
        return
    for line in map(_format_dataset, stored) if stored else ["no datasets; `adloom dataset push` uploads one"]:
        click.echo(line)


@dataset.command("pull", short_help="Download a dataset from the remote into data/dataset.")
@click.argument("digest")
@PARAMS
@click.option("--force", is_flag=True, help="Replace tables even if they exist nowhere else.")
@AS_JSON
def pull_dataset(digest: str, params_path: Path, force: bool, as_json: bool) -> None:
    """
    Download a dataset from the remote into data/dataset; `dvc repro` and `adloom run` continue from there.

    DIGEST is the dataset's digest, or at least its first 8 digits.

    Example: adloom dataset pull 1f3a9c07
    """
    params, context = load_context(params_path)
    remote = open_remote(Settings())
    with workspace.lock_workspace(context.home, Path()):
        found = datasets.find_dataset(digest, params.project, remote)
        brought = pull.pull_dataset(found, params, remote, Path(), force)
    print_values({"digest": found.digest, "brought": brought, **_count_rows(found)}, as_json)


@dataset.command("withdraw", short_help="Delete one dataset from the remote.")
@click.argument("digest")
@PARAMS
@click.option("--dry-run", is_flag=True, help="Print what would be deleted; delete nothing.")
@click.option("--yes", is_flag=True, help="Delete without asking.")
@AS_JSON
def withdraw_dataset(digest: str, params_path: Path, dry_run: bool, yes: bool, as_json: bool) -> None:
    """
    Delete one dataset from the remote; objects that belong to other datasets too stay.

    DIGEST is the dataset's digest, or at least its first 8 digits. Folders and DVC caches that pulled it keep it.

    Example: adloom dataset withdraw 1f3a9c07 --dry-run
    """
    params, _ = load_context(params_path)
    remote = open_remote(Settings())
    plan = withdraw.plan_withdrawal(datasets.find_dataset(digest, params.project, remote), remote)
    size = {"objects": len(plan.objects), "bytes": sum(plan.objects.values())}
    print_values({"digest": plan.digest, **size, "shared": plan.shared}, as_json)
    if dry_run:
        return
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask; --yes deletes without asking, --dry-run deletes nothing")
    if yes or click.confirm(f"Delete this dataset from {remote.url} for good?", err=True):
        withdraw.withdraw(plan, remote)
        click.echo(f"{plan.digest}: deleted from {remote.url}", err=True)


@click.command("reproduce")
@click.argument("run_id")
@click.option("--into", type=Path, metavar="DIR", help="Repeat it in this folder, and keep the folder.")
def reproduce(run_id: str, into: Path | None) -> None:
    """
    Repeat a recorded run from its commit, parameters and dataset, and compare the results.

    RUN_ID is a run in MLflow that `adloom run` or a pipeline recorded. On the same CPU type every artifact must have
    the same digest; on another type every metric must lie in its interval. If something differs, the exit code is 1
    and the folder is kept.

    Example: adloom reproduce d2ce4c03084d40afb5256f6d57b2a19a --into again
    """
    settings = Settings()
    record = run_record.read_record(run_id, build_context(settings, project="").tracker)
    rows = reproduction.reproduce(run_id, record, settings, into)
    width = max(len(row.name) for row in rows)
    click.echo(f"{'':{width}}  recorded / here")
    for row in rows:
        click.echo(f"{row.name:{width}}  {row.recorded} / {row.here}  {'equal' if row.equal else 'differs'}")
    if first := next((row for row in rows if not row.equal), None):
        machines = "; ".join(reproduction.describe_differences(record)) or "the same CPU and packages"
        raise AdloomError(f"{first.name}: recorded {first.recorded}, here {first.here}; {machines}")


def _format_dataset(stored: StoredDataset) -> str:
    rows = "  ".join(f"{table} {count}" for table, count in _count_rows(stored.dataset).items())
    return f"{stored.digest}  {stored.written:%Y-%m-%d %H:%M}  {_count_bytes(stored) / MEGABYTE:8.1f} MB  {rows}"


def _count_bytes(stored: StoredDataset) -> int:
    return sum(table.bytes for table in stored.dataset.tables.values())


def _count_rows(of: datasets.Dataset) -> dict[str, int]:
    """Count the rows of each table that models are trained and evaluated on."""
    return {
        name: sum(count for split, count in table.rows.items() if split not in UNUSED_SPLITS)
        for name, table in of.tables.items()
    }
