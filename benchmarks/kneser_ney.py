"""Measure how the baseline of the copywriter, a Kneser-Ney 5-gram, grows with lines.

    python benchmarks/kneser_ney.py [--lines 100000 1000000]

Lines have five words of a vocabulary of 20,000, frequent ones more often (Zipf). Each size is fitted in a process of
its own. Memory above that of the lines follows the distinct n-grams.
"""

import argparse
import resource
import time
from multiprocessing import get_context

import numpy as np

from adloom.sequences import kneser_ney

WORDS, WORDS_PER_LINE, ORDER = 20_000, 5, 5


def draw_lines(count: int) -> list[str]:
    """Return lines of random words."""
    rng = np.random.default_rng(1)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(WORDS)])
    share = 1 / np.arange(1, WORDS + 1)
    return [" ".join(line) for line in rng.choice(words, (count, WORDS_PER_LINE), p=share / share.sum())]


def fit(count: int) -> None:
    """Fit lines, and print CPU seconds and memory in MB."""
    lines = draw_lines(count)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    model = kneser_ney.fit(lines, ORDER)
    seconds, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ngrams = sum(len(table.keys) for table in model.orders)
    print(f"{count:>12,}{seconds:>9.1f}{before / 1024:>11.0f}{peak / 1024:>9.0f}{ngrams:>12,}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, nargs="+", default=[100_000, 1_000_000])
    print(f"{'lines':>12}{'CPU s':>9}{'MB before':>11}{'peak MB':>9}{'n-grams':>12}")
    for count in parser.parse_args().lines:
        process = get_context("spawn").Process(target=fit, args=(count,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
