"""Logs of the simulator as prepared tables, and policies in its worlds."""

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray
from adloom.data import contracts
from adloom.policy.scorer import Policy
from adloom.world.simulator import Config, Contexts, Log, World, creative_id

WORLD = Config(rate=0.05, segments=3, placements=2, creatives=5, wear_out=0.0, spread=0.8, delay_hours=0.2)
UNIFORM = np.full((WORLD.segments, WORLD.placements, WORLD.creatives), 1 / WORLD.creatives)


def simulate_log(world: World, policy: Policy | None, rows: int) -> Log:
    """Return the log of a policy's decisions, or of uniform decisions if None."""
    return world.log(lambda now: now.look_up(UNIFORM if policy is None else probability_table(policy)), rows)


def probability_table(policy: Policy) -> AnyArray:
    """Return a policy's probabilities as a table (segments, placements, creatives)."""
    ids = [creative_id(i) for i in range(WORLD.creatives)]
    return np.array(
        [[policy.probabilities(context(s, p), ids) for p in range(WORLD.placements)] for s in range(WORLD.segments)]
    )


def context(segment: int, placement: int) -> dict[str, str | None]:
    """Return a context as requests and impressions have it."""
    return {"placement": f"p{placement}", "position": "1", "segment": f"s{segment}"}


def decide_all(policy: Policy, now: Contexts) -> AnyArray:
    """Return a policy's probabilities in contexts (rows, creatives)."""
    return now.look_up(probability_table(policy))


def prepare_table(log: Log, split: str, number: int = 0) -> pd.DataFrame:
    """Return a log as a prepared table of impressions, all of one split."""
    frame = log.frame(f"log-{number}")
    frame["impression_id"] = f"{number}-" + frame["impression_id"]
    rows, reasons = contracts.validate(frame.drop(columns="user_id"), "impressions")
    assert (reasons == "").all()
    return rows.assign(split=split)
