"""Policies to measure and register: trained on a log of the simulator, or a few scores by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
from tests.support.simulated_logs import SETTING, prepared, serve
from tests.support.simulated_logs import table as chances

from adloom.config.params import TrainPolicy
from adloom.policy.scorer import Policy
from adloom.policy.simulator import World, creative_id
from adloom.storage import manifest

PARAMS = TrainPolicy(maturity_hours=2, temperatures=[0.3])
SEED = 2


def impressions(rows: int = 12_000) -> pd.DataFrame:
    """Return the log of uniform decisions in one world, the second half of it holdout."""
    world = World(SETTING, SEED)
    parts = [prepared(serve(world, None, rows // 2), split, i) for i, split in enumerate(("calibration", "holdout"))]
    return pd.concat(parts, ignore_index=True)


def best(world: World, share: float) -> Policy:
    """Return a policy that knows the truth of the world, and follows it by a share of its scores."""
    scores = share * np.log(world.rates).reshape(-1, SETTING.creatives)
    places = [f"p{p}" for p in range(SETTING.placements)]
    values = tuple(f"s{s}\x1f{place}" for s in range(SETTING.segments) for place in places)
    return Policy(
        creatives=tuple(creative_id(i) for i in range(SETTING.creatives)),
        category=np.zeros(SETTING.creatives, np.int64),
        categories=(),
        bias=np.zeros(SETTING.creatives, np.float32),
        features=(("segment", "placement"),),
        values=(values,),
        weights=(np.concatenate([np.zeros((1, SETTING.creatives)), scores]).astype(np.float32),),
        prior=np.zeros(1, np.float32),
    )


def write(target: Path, table: Path, share: float, audience: Path | None = None) -> Path:
    """Write a policy that follows the truth by a share, from -1 (against it) over 0 (uniform) to 1, as an artifact."""
    inputs = {"table": table, **({"audience": audience} if audience else {})}
    with manifest.draft(target, "train_policy", PARAMS, inputs) as made:
        best(World(SETTING, SEED), share).save(made.path / "policy.npz")
        uniform = {"model": "uniform", "temperature": 1.0, "penalty": None, "low": 0.0}
        pinned = manifest.digest(audience) if audience and not manifest.skip_reason(audience) else None
        card = {"model": "policy", "categories": [], "audience": pinned, "candidates": [uniform]}
        trained = PARAMS.model_copy(update={"models": ["uniform"]})
        made.describe(card, trained)
    return target


def truth(share: float) -> float:
    """Return what the policy of this share earns per impression in its world, without drift."""
    world = World(SETTING, SEED)
    return world.exact_value(chances(best(world, share)))
