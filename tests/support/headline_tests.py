"""Simulated A/B tests of headlines with known truth: words have effects, tests have levels of their own."""

import numpy as np
import pandas as pd


def simulate_tests(tests: int, seed: int, split: str = "train", word_effect: float = 0.25) -> pd.DataFrame:
    """Return lines of `tests` groups with impressions, clicks and the true log odds."""
    truth, rng = np.random.default_rng(1), np.random.default_rng([2, seed])
    words = np.array(["".join(truth.choice(list("abcdefghijklmnop"), truth.integers(3, 8))) for _ in range(200)])
    effects = truth.normal(0, word_effect, len(words))
    rows = []
    for test in range(tests):
        topic, level = rng.choice(len(words), 8), rng.normal(-4, 1)
        for _ in range(4):
            chosen = np.r_[rng.choice(topic, 3), rng.choice(len(words), 3)]
            odds = level + effects[chosen].sum()
            impressions = int(rng.integers(1000, 4000))
            clicks = rng.binomial(impressions, 1 / (1 + np.exp(-odds)))
            rows.append((f"{split}-{test}", " ".join(words[chosen]), impressions, clicks, odds))
    lines = pd.DataFrame(rows, columns=["group", "text", "impressions", "clicks", "truth"])
    return lines.assign(split=split, copy_id=[f"{split}-{i}" for i in range(len(lines))], category=None)
