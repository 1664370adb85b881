"""Measure the cost of `adloom policy refresh`, the time from a click to its effect, and the cost of Thompson sampling.

    python benchmarks/policy_refresh.py               # about five minutes
    python benchmarks/policy_refresh.py --minutes 60  # the log of an hour in one refresh

Logs of 1,000 decisions per second with 20 candidates in 2 placements, 4 segments and 3 devices, a click per fifty
impressions. A refresh is measured after logs of several lengths; only the newest minutes are new to it.
"""

import argparse
import gzip
import hashlib
import resource
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import numpy as np
from threadpoolctl import threadpool_limits

from adloom.cli.policy import read_log
from adloom.config import params
from adloom.decision_log.record import Decision, Feedback, encode
from adloom.policy.refresh import refresh_policy
from adloom.policy.scorer import Policy, ScoringRequest
from adloom.policy.statistics import ImpressionStatistics
from adloom.policy.thompson import Variances
from adloom.stages.refresh_policy import StateStore, find_rules
from adloom.storage.local import FolderObjectStore

PER_SECOND, CLICK_RATE, CREATIVES = 1000, 0.02, 20
NAMES = [f"creative-{i:02}" for i in range(CREATIVES)]
SEGMENT_SECONDS, REFRESH_SECONDS, SWAP_SECONDS = 60, 120, 60  # rotation, schedule and poll of the champion, at most
PARAMS = params.load(Path(__file__).parents[1] / "params.yaml")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def write_segment(root: Path, minute: int, rng: np.random.Generator) -> None:
    """Write a minute of decisions, and the clicks on them."""
    at = EPOCH + timedelta(minutes=minute)
    start, rows = int(at.timestamp() * 1e6), PER_SECOND * SEGMENT_SECONDS
    lines = []
    for row, (creative, clicked, context) in enumerate(
        zip(rng.integers(CREATIVES, size=rows), rng.random(rows) < CLICK_RATE, rng.integers(24, size=rows), strict=True)
    ):
        identity, moment = f"{minute * rows + row:032x}", start + row * 1000
        lines.append(encode(decide(identity, moment, int(creative), int(context), f"{rng.integers(2**32):032x}"[::-1])))
        if clicked:
            lines.append(encode(Feedback(time=moment, decision_id=identity, creative_id=NAMES[creative], kind="click")))
    packed = gzip.compress(b"\n".join(lines) + b"\n", 1)
    folder = root / "shop" / f"{at:%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{hashlib.sha256(packed).hexdigest()}.jsonl.gz").write_bytes(packed)


def decide(identity: str, moment: int, creative: int, context: int, user: str) -> Decision:
    """Return a uniform decision."""
    return Decision(
        time=moment,
        decision_id=identity,
        project="shop",
        user=user,
        user_key="b" * 16,
        segment=f"segment-{context % 4}",
        placement=f"placement-{context % 2}",
        context={"device": f"device-{context % 3}"},
        candidates=NAMES,
        probabilities=[1 / CREATIVES] * CREATIVES,
        chosen=[NAMES[creative]],
        propensities=[1 / CREATIVES],
        tier="model",
        elapsed_us=300,
    )


def measure_refresh(store: StateStore, minute: int) -> tuple[float, float, ImpressionStatistics]:
    """Return the CPU seconds of reading the new segments and of the refresh, with the statistics."""
    start, state = time.process_time(), store.load()
    for after in read_log(store, state, PARAMS, EPOCH + timedelta(minutes=minute)):
        state = after
    middle = time.process_time()
    with threadpool_limits(1):
        statistics = state.statistics.leave_out(state.statistics.find_invalid(find_rules(PARAMS)))
        refresh_policy(uniform_policy(), statistics, 0.1, 0.05)
    return middle - start, time.process_time() - middle, state.statistics


def uniform_policy() -> Policy:
    """Return a champion without features."""
    zeros = np.zeros(CREATIVES, np.float32)
    return Policy(
        tuple(NAMES), np.zeros(CREATIVES, np.int64), (), zeros, (), (), (), np.zeros(1, np.float32), floor=0.002
    )


def measure_scoring(candidates: int, batch: int, rounds: int = 200) -> dict[str, float]:
    """Return the microseconds of a request's probabilities by exploration, medians of alternate rounds."""
    rng, names = np.random.default_rng(0), [f"c{i}" for i in range(1000)]
    policy = Policy(
        tuple(names), np.zeros(1000, np.int64), (), rng.normal(size=1000).astype(np.float32), (("placement",),),
        (("top",),), (rng.normal(size=(2, 1000)).astype(np.float32),), np.zeros(1, np.float32), floor=0.002,
    )  # fmt: skip
    ones = np.full(1000, 0.1, np.float32)
    sampled = replace(policy, variances=Variances(ones, (np.tile(ones, (2, 1)),), np.ones(1, np.float32)))
    scorers = {"softmax": policy.scorer, "thompson": sampled.scorer}
    requests = [ScoringRequest({"placement": "top"}, names[i : i + candidates]) for i in range(batch)]
    times: dict[str, list[float]] = {name: [] for name in scorers}
    for _ in range(rounds):
        for name, scorer in scorers.items():
            start = time.process_time()
            scorer.probabilities(requests)
            times[name].append((time.process_time() - start) / batch * 1e6)
    return {name: median(values) for name, values in times.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=2, help="Minutes of new log per refresh.")
    parser.add_argument("--lengths", type=int, nargs="+", default=[2, 6, 12], help="Lengths of the log in minutes.")
    options = parser.parse_args()
    print("| candidates | requests at once | softmax, µs per request | Thompson |")
    for candidates, batch in ((10, 1), (10, 32), (100, 1), (100, 32)):
        cost = measure_scoring(candidates, batch)
        print(f"| {candidates} | {batch} | {cost['softmax']:.0f} | {cost['thompson']:.0f} |", flush=True)
    rng, written = np.random.default_rng(0), 0
    with tempfile.TemporaryDirectory(prefix="adloom-refresh-") as folder:
        store = StateStore(FolderObjectStore(folder), "shop")
        print("| minutes of log | new impressions | CPU s reading | CPU s refresh | cells | click to effect, s |")
        for length in options.lengths:
            for new in (length - options.minutes, length):
                while written < new:
                    write_segment(Path(folder), written, rng)
                    written += 1
                reading, refreshing, statistics = measure_refresh(store, written) if new else (0.0, 0.0, None)
            delay = SEGMENT_SECONDS + REFRESH_SECONDS + reading + refreshing + SWAP_SECONDS
            count = PER_SECOND * SEGMENT_SECONDS * options.minutes
            cells = len(statistics.cells) if statistics else 0
            print(f"| {length} | {count:,} | {reading:.1f} | {refreshing:.1f} | {cells:,} | {delay:.0f} |", flush=True)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
