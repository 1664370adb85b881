"""Measure what the creative library and the copy check cost, and which copies the check finds.

    python benchmarks/library.py DATASET MODELS    # a prepared table of creatives, and models trained on it

CPU seconds and medians, because machines are noisy.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np

from adloom.creatives.copy_check import CopyCheck, calibrate_threshold, find_distances
from adloom.creatives.fingerprint import fit_fingerprint
from adloom.creatives.memorization import make_canaries
from adloom.creatives.pictures import to_floats
from adloom.data.privacy import PUBLISHED_KEY
from adloom.serving.api.decide_schemas import DecideRequest
from adloom.serving.api.schemas import GenerateRequest
from adloom.serving.creatives.generate import prepare_pictures
from adloom.serving.decide.service import Decider, MemoryLog
from adloom.serving.library.shared_library import ApprovedAds, LibrarySnapshot, SharedLibrary
from adloom.serving.models import loader, sources
from adloom.serving.segments import PseudonymKeys
from adloom.stages.creative_rows import open_creatives

ROUNDS, PICTURES, FITTED = 21, 64, 4000
ADS = [f"sha256:{number:064x}" for number in range(50)]


def measure(call: Callable[[], object]) -> float:
    """Return the median of the CPU seconds of a call."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return median(seconds)


def check_copies(dataset: Path, models: Path) -> None:
    table = open_creatives(dataset)
    categories = table.list_categories()
    rows = {split: table.find_rows(split, categories) for split in ("train", "validation")}
    fitted = fit_fingerprint(table.decode(rows["train"][:: -(-len(rows["train"]) // FITTED)]), seed=7)
    known = np.concatenate([fitted(batch) for batch in table.decode_batches(rows["train"])])
    held_out, test = table.decode(rows["validation"][:7000]), table.decode(table.find_test_rows(categories)[:7000])
    check = CopyCheck(fitted, known, calibrate_threshold(find_distances(fitted(held_out), known)))
    canaries = make_canaries(table.decode(rows["train"][:: len(rows["train"]) // 1998]), seed=7)
    print(
        f"threshold {check.threshold:.4f}, {len(known)} fingerprints, false copies {check.find_copies(test).mean():.4f}"
    )
    print("copies found", _shares(check.find_copies(canaries)))
    reader = loader.load(sources.find_in_folder(models, ["cnn"]), 1).cnn.model
    with np.load(models / "cnn" / "known.npz") as arrays:
        _compare_reader(reader, arrays["embedding"].astype(np.float32), held_out, test, canaries)
    loaded = loader.load(sources.find_in_folder(models, ["gan"]), 1)
    job = prepare_pictures(GenerateRequest(category=loaded.gan.card.categories[0], n=PICTURES, seed=1), loaded)
    pixels = table.decode(rows["train"][:PICTURES])
    drawing = measure(lambda: loaded.gan.model(job.z, job.condition))
    checking = measure(lambda: check.find_copies(pixels))
    print(
        f"{PICTURES} pictures: drawing {drawing * 1e3:.1f} ms, copy check {checking * 1e3:.1f} ms", checking / drawing
    )


def _shares(found: Any) -> dict[str, float]:
    return {name: round(float(found[i::3].mean()), 3) for i, name in enumerate(("plain", "mirrored", "noisy"))}


def _compare_reader(reader: Any, known: Any, held_out: Any, test: Any, canaries: Any) -> None:
    """Print what a check in the reader's embeddings, calibrated alike, would find."""

    def distances(pixels: Any) -> Any:
        parts = [reader.read(to_floats(pixels[start : start + 500])).embedding for start in range(0, len(pixels), 500)]
        return find_distances(np.concatenate(parts), known)

    threshold = calibrate_threshold(distances(held_out))
    false = (distances(test) < threshold).mean()
    print(f"in the reader's embeddings: false copies {false:.4f}", _shares(distances(canaries) < threshold))


def decide() -> None:
    library = SharedLibrary(lambda: None)  # type: ignore[arg-type, return-value]
    library.snapshot = LibrarySnapshot({("Bag", "300x250"): ApprovedAds(ADS, dict.fromkeys(ADS, "Bag"))})
    decider = Decider(loader.Models({}, {}), PseudonymKeys(PUBLISHED_KEY), MemoryLog(), "shop", library)
    bodies: dict[str, dict[str, object]] = {
        "list": {"candidates": ADS, "categories": dict.fromkeys(ADS, "Bag")},
        "library": {"candidates": {"library": {"category": "Bag", "size": "300x250"}}},
    }
    decoder, times = msgspec.json.Decoder(DecideRequest), {}
    for name, body in bodies.items():
        encoded = msgspec.json.encode({"placement": "top", "tmax_ms": 60_000, **body})

        def run(encoded: bytes = encoded) -> None:
            for _ in range(200):
                decider.decide([(decoder.decode(encoded), time.perf_counter())])

        times[name] = measure(run) / 200
    print(
        {name: f"{seconds * 1e6:.0f} µs" for name, seconds in times.items()}, f"{times['library'] / times['list']:.2f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("models", type=Path)
    arguments = parser.parse_args()
    decide()
    check_copies(arguments.dataset, arguments.models)
