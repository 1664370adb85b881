"""
The scale of `benchmarks/audience.py`: from a Parquet source to scored users by the commands, with their peak memory.

Run it under `systemd-run --scope -p MemoryMax=2G` to enforce the limit. RLIMIT_DATA does not work: allocators of DuckDB
and PyArrow reserve addresses that they do not use.
"""

import shutil
import tempfile
from pathlib import Path

import prepare  # type: ignore[import-not-found] # of this folder

LIMIT = 2000  # MB of resident memory of each command
BAR = 1.5  # time per event against that of a tenth of the events
MODEL = "--model models/audience --table data/dataset/events --report reports/audience"
STAGES = {  # commands, and what is deleted after them
    "ingest": "source.parquet",
    "prepare": "data/raw",
    "segment": "",
    f"evaluate {MODEL}": "",
    f"register {MODEL}": "",
    "promote audience 1 --reason benchmark": "",
    "score": "data/dataset",
}


def measure_scale(_: Path, events: int) -> None:
    """Print a line per stage for a tenth of the events and for all, and the growth of the time per event."""
    print(f"{'stage':<12}{'events':>13}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'CPU µs/event':>14}")
    (small, _small_peak), (large, peak) = (run_stages(count) for count in (events // 10, events))
    growth = large / small / 10
    verdict = "met" if growth <= BAR and peak <= LIMIT else "missed"
    print(f"time per event grows {growth:.2f} times, expected at most {BAR}; peak {peak:.0f} of {LIMIT} MB: {verdict}")


def run_stages(events: int) -> tuple[float, float]:
    """
    Run all commands and print their costs; return their CPU seconds and the highest peak in MB.

    Inputs that no command needs are deleted.
    """
    total, peak = 0.0, 0.0
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        prepare.write_project(folder, "events", "parquet", events)
        prepare.measure_command("snapshot", folder)
        for stage, source in STAGES.items():
            cost = prepare.measure_command(stage, folder)
            total, peak = total + cost.cpu, max(peak, cost.peak)
            numbers = f"{cost.wall:>9.1f}{cost.cpu:>9.1f}{cost.peak:>9.0f}{cost.cpu / events * 1e6:>14.2f}"
            print(f"{stage.split()[0]:<12}{events:>13,}{numbers}", flush=True)
            if source:
                shutil.rmtree(folder / source) if (folder / source).is_dir() else (folder / source).unlink()
    return total, peak
