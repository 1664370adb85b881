"""Measure how `ingest` and `prepare` grow with the rows of events and impressions.

    python benchmarks/prepare.py                        # 0.3, 1, 3 and 10 million rows; about 40 minutes, 6 GB of disk
    python benchmarks/prepare.py events parquet 0.3 1   # one table, one format, some sizes

Each stage runs as its command, as users run it. Users have about 10 rows each; every impression has its own text id.
The growth factor compares the CPU seconds per row with the line above: 1 is linear. Peak memory is that of the process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import yaml

TABLES, FORMATS, MILLIONS = ("events", "impressions"), ("parquet", "csv"), (0.3, 1.0, 3.0, 10.0)
BLOCK, ROWS_PER_USER, ITEMS = 100_000, 10, 50_000
START, DAYS = np.datetime64("2026-01-01", "us"), 270
PERIOD = {"holdout_start": "2026-07-01", "end": "2026-10-01"}


class Cost(NamedTuple):
    """What a command took."""

    cpu: float  # seconds
    wall: float  # seconds
    peak: float  # megabytes


def build_block(table: str, start: int, rows: int, users: int) -> pa.Table:
    """Return some rows of a table; equal arguments give equal rows."""
    rng = np.random.default_rng([start, users])
    times = START + rng.integers(0, DAYS * 86_400, rows).astype("timedelta64[s]")
    columns = {
        "user_id": pa.array([f"user-{number}" for number in rng.integers(0, users, rows)]),
        "timestamp": pa.array(times, pa.timestamp("us", "UTC")),
    }
    if table == "events":
        items, values = rng.integers(0, ITEMS, rows), rng.integers(1, 20_000, rows) / 100
        return pa.table(columns | {"event": ["purchase"] * rows, "item_id": pa.array(items), "value": values})
    shown, clicked = rng.integers(0, 50, rows), rng.random(rows) < 0.05
    ids = [f"impression-{number:012}" for number in range(start, start + rows)]
    fixed = {"placement": ["home"] * rows, "propensity": np.full(rows, 0.02)}
    return pa.table(columns | fixed | {"impression_id": ids, "creative_id": pa.array(shown), "clicked": clicked})


def write_source(path: Path, table: str, rows: int) -> None:
    """Write a source file block by block."""
    blocks = (
        build_block(table, start, min(BLOCK, rows - start), max(rows // ROWS_PER_USER, 1))
        for start in range(0, rows, BLOCK)
    )
    first = next(blocks)
    open_writer = pa.csv.CSVWriter if path.suffix == ".csv" else pa.parquet.ParquetWriter
    with open_writer(path, first.schema) as writer:
        writer.write_table(first)
        for block in blocks:
            writer.write_table(block)


def measure_command(command: str, folder: Path) -> Cost:
    """Run an adloom command with its options in a folder; raise RuntimeError if it fails."""
    environment = {**os.environ, "ADLOOM_PSEUDONYM_KEY": "k" * 32, "CI": "true"}
    start = time.perf_counter()
    arguments = [sys.executable, "-m", "adloom", *command.split()]
    with subprocess.Popen(arguments, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"adloom {command}: exit code {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - start, usage.ru_maxrss / 1024)


def write_project(folder: Path, table: str, file_format: str, rows: int) -> None:
    """Write a source and the params.yaml of a project with this table alone."""
    write_source(folder / f"source.{file_format}", table, rows)
    params = yaml.safe_load(files("adloom.starter").joinpath("params.yaml").read_text(encoding="utf-8"))
    params["ingest"] = {table: {"uri": f"source.{file_format}", "format": file_format}}
    params["prepare"] = {"max_quarantine_rate": 0.01, table: PERIOD}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def measure_stages(table: str, file_format: str, rows: int) -> Iterator[tuple[str, Cost]]:
    """Yield the cost of `ingest` and `prepare` for a table of some rows."""
    with tempfile.TemporaryDirectory(prefix="prepare-") as scratch:
        write_project(Path(scratch), table, file_format, rows)
        measure_command("snapshot", Path(scratch))
        yield "ingest", measure_command("ingest", Path(scratch))
        yield "prepare", measure_command("prepare", Path(scratch))


def parse_choice(text: str) -> str | float:
    """Return a table, a format, or millions of rows. Raises ArgumentTypeError for other texts."""
    try:
        return text if text in {*TABLES, *FORMATS} else float(text)
    except ValueError:
        expected = ", ".join((*TABLES, *FORMATS))
        raise argparse.ArgumentTypeError(f"{text!r}, expected {expected} or millions of rows") from None


def main(arguments: Sequence[str]) -> None:
    """Print a line per table, format, size and stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    description = "tables, formats and millions of rows to measure; all without it"
    parser.add_argument("choice", nargs="*", type=parse_choice, help=description)
    choices = parser.parse_args(arguments).choice
    tables = [name for name in TABLES if name in choices] or TABLES
    formats = [name for name in FORMATS if name in choices] or FORMATS
    millions = [choice for choice in choices if isinstance(choice, float)] or MILLIONS
    print(f"{'table':12}{'format':8}{'stage':9}{'rows':>12}{'CPU s':>9}{'wall s':>9}{'peak MB':>9}{'growth':>8}")
    for table in tables:
        for file_format in formats:
            before: dict[str, float] = {}
            for rows in (int(million * 1e6) for million in millions):
                for stage, cost in measure_stages(table, file_format, rows):
                    growth = f"{cost.cpu / rows / before[stage]:8.2f}" if stage in before else f"{'':8}"
                    before[stage] = cost.cpu / rows
                    numbers = f"{rows:12,}{cost.cpu:9.1f}{cost.wall:9.1f}{cost.peak:9.0f}"
                    print(f"{table:12}{file_format:8}{stage:9}{numbers}{growth}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
