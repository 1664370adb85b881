"""Policies to measure and register: trained on a simulated log, or with hand-written scores."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from tests.support.simulated_logs import WORLD, prepare_table, simulate_log
from tests.support.simulated_logs import probability_table as chances

from adloom.config.audience import TrainPolicy
from adloom.policy.scorer import Policy
from adloom.storage import manifest
from adloom.world.simulator import World, creative_id

PARAMS = TrainPolicy(maturity_hours=2, temperatures=[0.3])
SEED = 2


@cache
def simulate_impressions(rows: int = 12_000) -> pd.DataFrame:
    """Return the log of uniform decisions in one world; the second half is holdout. Callers change none of it."""
    world = World(WORLD, SEED)
    parts = [
        prepare_table(simulate_log(world, None, rows // 2), split, i)
        for i, split in enumerate(("calibration", "holdout"))
    ]
    return pd.concat(parts, ignore_index=True)


def oracle_policy(world: World, share: float) -> Policy:
    """Return a policy with the world's true scores, scaled by a share."""
    scores = share * np.log(world.rates).reshape(-1, WORLD.creatives)
    placements = [f"p{p}" for p in range(WORLD.placements)]
    values = tuple(f"s{s}\x1f{placement}" for s in range(WORLD.segments) for placement in placements)
    return Policy(
        creatives=tuple(creative_id(i) for i in range(WORLD.creatives)),
        category=np.zeros(WORLD.creatives, np.int64),
        categories=(),
        bias=np.zeros(WORLD.creatives, np.float32),
        features=(("segment", "placement"),),
        values=(values,),
        weights=(np.concatenate([np.zeros((1, WORLD.creatives)), scores]).astype(np.float32),),
        prior=np.zeros(1, np.float32),
    )


def write_policy(target: Path, table: Path, share: float, audience: Path | None = None) -> Path:
    """Write a policy artifact; share scales the true scores: 1 (best), 0 (uniform), -1 (worst)."""
    inputs = {"table": table, **({"audience": audience} if audience else {})}
    with manifest.draft(target, "train_policy", PARAMS, inputs) as draft:
        oracle_policy(World(WORLD, SEED), share).save(draft.path / "policy.npz")
        uniform = {"model": "uniform", "temperature": 1.0, "penalty": None, "low": 0.0}
        pinned = manifest.digest(audience) if audience and not manifest.skip_reason(audience) else None
        card = {"model": "policy", "categories": [], "audience": pinned, "candidates": [uniform]}
        trained = PARAMS.model_copy(update={"models": ["uniform"]})
        draft.describe(card, trained)
    return target


def true_value(share: float) -> float:
    """Return the true value per impression of the policy of this share, without drift."""
    world = World(WORLD, SEED)
    return world.exact_value(chances(oracle_policy(world, share)))
