"""The commands of the decision log: log verify, log to-impressions."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adloom.cli.main import AS_JSON, show
from adloom.config.base import ConfigModel
from adloom.config.settings import Settings
from adloom.context import open_store
from adloom.errors import DataError
from adloom.stages.runner import is_remote
from adloom.storage import manifest

if TYPE_CHECKING:
    from adloom.decision_log.verify import VerificationReport

LOGS = click.argument("logs", nargs=-1, required=True, metavar="PATH|s3://…")


@click.group("log")
def log() -> None:
    """
    Verify the decision log, and make impressions of it.

    Example: adloom log verify .adloom/decisions
    """


@log.command("verify", short_help="Check that a log can be learned from.")
@LOGS
@AS_JSON
def verify_log(logs: tuple[str, ...], as_json: bool) -> None:
    """
    Check every record, every process and what records say of each other; exit code 2 when something is wrong.

    Feedback is looked for among all logs that are given, so give the days of its decisions, too.

    Example: adloom log verify s3://shop/decisions --json
    """
    from adloom.decision_log import verify

    findings = verify.verify(logs, open_store(Settings()))
    for line in [json.dumps(findings.summary(), indent=1)] if as_json else _table(findings):
        click.echo(line)
    if findings.issue_count:
        worst = ", ".join(f"{name} {count}" for name, count in findings.counts.most_common(3))
        raise DataError(
            f"{', '.join(logs)}: {findings.issue_count} issues ({worst}); docs/how-to/decisions.md explains them"
        )


@log.command("to-impressions", short_help="Make a table of impressions of a log.")
@LOGS
@click.option("--out", required=True, metavar="FOLDER|s3://…", help="Where the table goes, a Parquet file a day.")
@AS_JSON
def to_impressions(logs: tuple[str, ...], out: str, as_json: bool) -> None:
    """
    Make the impressions of a log a table that `ingest.impressions` reads: one row a creative shown.

    Give the whole log each time: feedback that came since is found, and only days that changed get other bytes.

    Example: adloom log to-impressions s3://shop/decisions --out s3://shop/impressions
    """
    from adloom.decision_log import impressions

    store = open_store(Settings())
    store.require(out)
    if not is_remote(out) and any(Path(out).glob("*")) and not (Path(out) / manifest.MANIFEST).is_file():
        raise DataError(f"{out}: holds something other than impressions, which would be replaced; name another folder")
    with tempfile.TemporaryDirectory(prefix="adloom-impressions-") as scratch:
        target = Path(scratch, "made") if is_remote(out) else Path(out)
        (work := Path(scratch, "work")).mkdir()
        with manifest.draft(target, "log to-impressions", ConfigModel(), {}) as made:
            converted = impressions.convert(logs, made.path, work, store)
            made.rows = {"impressions": converted.impressions}
        if is_remote(out):
            store.push(target, out)
    show(asdict(converted), as_json)
    if converted.damaged:
        raise DataError(
            f"{len(converted.damaged)} damaged segments, {converted.missing_records} records missing; the rest was "
            f"converted: {'; '.join(converted.damaged[:3])}"
        )


def _table(findings: "VerificationReport") -> Iterator[str]:
    from adloom.decision_log.verify import CHECKS

    summary = findings.summary()
    for name in ("segments", "processes", "processes_without_end", "decisions", "feedback"):
        yield f"{name:24} {summary[name]}"
    yield ""
    for name, meaning in CHECKS.items():
        yield f"{name:12} {findings.counts[name]:9}  {meaning}"
        for example in findings.examples.get(name, []):
            yield f"{'':24}{example}"
