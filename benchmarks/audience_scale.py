"""The scale of `benchmarks/audience.py`: from a Parquet source to segments by the commands, under a memory limit."""

import shutil
import tempfile
from pathlib import Path

import prepare  # type: ignore[import-not-found] # of this folder

LIMIT = 2 * 10**9  # bytes of own memory of each command
BAR = 1.5  # time per event against that of a tenth of the events
STAGES = {"ingest": "source.parquet", "prepare": "data/raw", "segment": "data/dataset"}  # and their inputs


def measure_scale(_: Path, events: int) -> None:
    """Print a line per stage for a tenth of the events and for all, and the growth of the time per event."""
    print(f"{'stage':<12}{'events':>13}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'CPU µs/event':>14}")
    small, large = (run_stages(count) / count for count in (events // 10, events))
    verdict = "met" if large <= BAR * small else "missed"
    print(f"time per event grows {large / small:.2f} times, expected at most {BAR}: {verdict}", flush=True)


def run_stages(events: int) -> float:
    """Run all commands, print their costs, and return their CPU seconds; inputs that no command needs are deleted."""
    total = 0.0
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        prepare.write_project(folder, "events", "parquet", events)
        prepare.measure_command("snapshot", folder)
        for stage, source in STAGES.items():
            cost = prepare.measure_command(stage, folder, LIMIT)
            total += cost.cpu
            numbers = f"{cost.wall:>9.1f}{cost.cpu:>9.1f}{cost.peak:>9.0f}{cost.cpu / events * 1e6:>14.2f}"
            print(f"{stage:<12}{events:>13,}{numbers}", flush=True)
            shutil.rmtree(folder / source) if (folder / source).is_dir() else (folder / source).unlink()
    return total
