"""Samples and impressions of two periods."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray
from adloom.drift.click_rate import ClickRates
from adloom.drift.features import Feature, FeatureSample

DROP = ClickRates(0.05, 0.05, 0.04, 0.06, observed=0.03, expected=0.05, p_value=1e-5)


def make_sample(values: Sequence[object] | AnyArray, users: Sequence[int] | AnyArray | None = None) -> FeatureSample:
    """Return values of users, by default of a user each."""
    array = np.asarray(values, object if isinstance(values[0], str) else float)
    cluster = np.random.default_rng(len(array)).permutation(len(array)) if users is None else np.asarray(users)
    return FeatureSample(array, cluster, np.ones(len(array)))


def make_feature(reference: FeatureSample, current: FeatureSample, explanation: str = "") -> Feature:
    """Return a feature of other users in each period."""
    moved = FeatureSample(current.values, current.cluster + 10**6, current.weight)
    return Feature("events", "monetary", "feature", reference, moved, explanation)


def shifted(by: float, rows: int = 300, explanation: str = "") -> Feature:
    """Return normal numbers, in the second period moved by some standard deviations."""
    old, new = np.random.default_rng([rows, int(100 * by)]).normal(size=(2, rows))
    return make_feature(make_sample(old), make_sample(new + by), explanation)


def make_impressions(rows: int, seed: int, segments: str = "ab", rate: float = 0.2) -> pd.DataFrame:
    """Return impressions of one placement, of which creative b is clicked twice as often as a."""
    rng = np.random.default_rng(seed)
    creative = rng.choice(["a", "b"], rows)
    return pd.DataFrame(
        {
            "impression_id": [f"{seed}-{i}" for i in range(rows)],
            "timestamp": pd.Timestamp("2026-03-01", tz="UTC") + pd.to_timedelta(np.arange(rows), "min"),
            "user_id": np.char.add("u", rng.integers(rows // 4, size=rows).astype(str)).astype(object),
            "placement": "top",
            "creative_id": creative,
            "clicked": rng.random(rows) < rate * np.where(creative == "b", 4 / 3, 2 / 3),
            "logging_policy": "uniform",
            "ctx_segment": rng.choice(list(segments), rows),
        }
    )
