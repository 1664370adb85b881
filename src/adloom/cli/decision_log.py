"""`adloom log`: verify the decision log, and convert it to impressions."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adloom.cli.options import AS_JSON, print_json, print_values
from adloom.config.base import ConfigModel
from adloom.config.settings import Settings
from adloom.context import open_store
from adloom.errors import DataError
from adloom.storage import manifest
from adloom.storage.base import Store, is_remote

if TYPE_CHECKING:
    from adloom.decision_log.impressions import ConversionReport
    from adloom.decision_log.verify import VerificationReport

LOGS = click.argument("logs", nargs=-1, required=True, metavar="PATH|s3://…")


@click.group("log")
def log() -> None:
    """
    Verify the decision log, and convert it to impressions.

    Example: adloom log verify .adloom/decisions
    """


@log.command("verify", short_help="Check that models can be trained on a log.")
@LOGS
@AS_JSON
def verify_log(logs: tuple[str, ...], as_json: bool) -> None:
    """
    Check every record, every process, and that records agree with each other; exit code 2 if there are issues.

    Feedback is matched with decisions of all given logs, so include the days of its decisions.

    Example: adloom log verify s3://shop/decisions --json
    """
    from adloom.decision_log import verify

    report = verify.verify(logs, open_store(Settings()))
    if as_json:
        print_json(report.summary())
    else:
        for line in _format_report(report):
            click.echo(line)
    if report.issue_count:
        worst = ", ".join(f"{name} {count}" for name, count in report.counts.most_common(3))
        raise DataError(
            f"{', '.join(logs)}: {report.issue_count} issues ({worst}); docs/how-to/decisions.md explains them"
        )


@log.command("to-impressions", short_help="Convert a log to a table of impressions.")
@LOGS
@click.option("--out", required=True, metavar="FOLDER|s3://…", help="Folder of the table, one Parquet file per day.")
@AS_JSON
def to_impressions(logs: tuple[str, ...], out: str, as_json: bool) -> None:
    """
    Convert a log to a table that `ingest.impressions` reads: one row per shown creative.

    Pass the whole log each time: later feedback is included, and the files of unchanged days stay equal.

    Example: adloom log to-impressions s3://shop/decisions --out s3://shop/impressions
    """
    converted = convert_log(logs, out, open_store(Settings()))
    print_values(asdict(converted), as_json)
    if converted.damaged:
        raise DataError(
            f"{len(converted.damaged)} damaged segments, {converted.missing_records} records missing; the rest was "
            f"converted: {'; '.join(converted.damaged[:3])}"
        )


def convert_log(logs: Sequence[str], out: str, store: Store) -> "ConversionReport":
    """Convert logs to a table of impressions. Raises DataError if its folder has other files."""
    from adloom.decision_log import impressions

    store.require(out)
    if not is_remote(out) and any(Path(out).glob("*")) and not (Path(out) / manifest.MANIFEST).is_file():
        raise DataError(f"{out}: contains files other than impressions, which would be replaced; name another folder")
    with tempfile.TemporaryDirectory(prefix="adloom-impressions-") as scratch:
        target = Path(scratch, "table") if is_remote(out) else Path(out)
        (work := Path(scratch, "work")).mkdir()
        with manifest.draft(target, "log to-impressions", ConfigModel(), {}) as draft:
            converted = impressions.convert(logs, draft.path, work, store)
            draft.rows = {"impressions": converted.impressions}
        if is_remote(out):
            store.push(target, out)
    return converted


def _format_report(report: "VerificationReport") -> Iterator[str]:
    from adloom.decision_log.verify import CHECKS

    summary = report.summary()
    for name in ("segments", "processes", "processes_without_end", "decisions", "feedback"):
        yield f"{name:24} {summary[name]}"
    yield ""
    for name, meaning in CHECKS.items():
        yield f"{name:12} {report.counts[name]:9}  {meaning}"
        for example in report.examples.get(name, []):
            yield f"{'':24}{example}"
