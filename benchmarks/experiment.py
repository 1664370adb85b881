"""Measure what a running experiment adds to the CPU time of a decision, in paired rounds.

    python benchmarks/experiment.py

50 candidates of 1,000 creatives; the request is decoded, decided, logged in memory and encoded. The rounds of both
deciders take turns, and the median of their ratios is printed with its quartiles, by batch size.
"""

import gc
import time
from statistics import median, quantiles
from typing import Any

import msgspec
import numpy as np

from adloom.data.context import SEPARATOR
from adloom.decision_log.record import Record
from adloom.decision_log.record import encode as encode_record
from adloom.experiments.definition import Experiment, parse_arms
from adloom.policy.scorer import Policy, Scorer
from adloom.serving.api.decide_schemas import DecideRequest, ModelOrigin
from adloom.serving.decide.service import Decider, encode
from adloom.serving.models.card import ModelCard
from adloom.serving.models.loader import LoadedExperiment, LoadedModel, Models
from adloom.serving.segments import PseudonymKeys

CREATIVES, CANDIDATES, ROUNDS, DECISIONS = 1000, 50, 41, 480


class EncodingLog:
    """Encodes records, as the decision log does, and drops them."""

    def append(self, record: Record, /) -> bool:
        """Encode a record."""
        encode_record(record)
        return True


def load_policy(version: int) -> LoadedModel[Scorer]:
    """Return a policy with weights for placement, segment and both."""
    rng, segments = np.random.default_rng(version), tuple(f"segment-{i}" for i in range(6))
    both = tuple(f"top{SEPARATOR}{segment}" for segment in segments)
    values = (("top", "side"), segments, both)
    policy = Policy(
        creatives=tuple(f"creative-{i:06}" for i in range(CREATIVES)),
        category=np.zeros(CREATIVES, np.int64),
        categories=("c",),
        bias=rng.normal(size=CREATIVES).astype(np.float32),
        features=(("placement",), ("segment",), ("placement", "segment")),
        values=values,
        weights=tuple(rng.normal(size=(len(v) + 1, CREATIVES)).astype(np.float32) for v in values),
        prior=np.zeros(2, np.float32),
        floor=0.001,
    )
    origin = ModelOrigin(name="policy", version=version, digest=f"{version}" * 64)
    return LoadedModel(origin, "", ModelCard(), policy.scorer, "registry")


def create_decider(arms: str) -> Decider:
    """Return a decider of the champion, or of an experiment with these arms."""
    policies = {version: load_policy(version) for version in (1, 2)}
    loaded = None
    if arms:
        parsed = parse_arms(arms, {"champion": 1, "challenger": 2}.__getitem__)
        loaded = LoadedExperiment(Experiment(name="benchmark", key="ab" * 16, started=0, arms=parsed), policies)
    models = Models({"policy": policies[1]}, {}, experiment=loaded)
    return Decider(models, PseudonymKeys(None), EncodingLog(), "benchmark")


def create_bodies() -> list[bytes]:
    """Return requests of different users."""
    rng = np.random.default_rng(0)
    ids = [f"creative-{i:06}" for i in range(CREATIVES)]
    fields: dict[str, Any] = {"placement": "top", "tmax_ms": 60_000}
    bodies = (
        {**fields, "user_id": str(i), "candidates": rng.choice(ids, CANDIDATES, replace=False).tolist()}
        for i in range(DECISIONS)
    )
    return [msgspec.json.encode(body) for body in bodies]


def measure(decider: Decider, bodies: list[bytes], batch: int) -> float:
    """Return the CPU seconds of one round."""
    decode = msgspec.json.Decoder(DecideRequest).decode
    start = time.process_time()  # a call within the round would empty the caches of the CPU
    for first in range(0, len(bodies), batch):
        requests = [(decode(body), time.perf_counter()) for body in bodies[first : first + batch]]
        for answer in decider.decide(requests):
            encode(answer)
    return time.process_time() - start


def main() -> None:
    """Print the cost of experiments."""
    bodies, alone = create_bodies(), create_decider("")
    gc.collect()
    gc.freeze()  # as the service does
    for arms in ("champion=100", "champion=80,challenger=15,control=5"):
        decider = create_decider(arms)
        for batch in (1, 4, 16):
            pairs = [(measure(alone, bodies, batch), measure(decider, bodies, batch)) for _ in range(ROUNDS)]
            plain, extra = (
                median(values) / DECISIONS * 1e6 for values in ([a for a, _ in pairs], [b - a for a, b in pairs])
            )
            low, middle, high = quantiles(b / a for a, b in pairs)
            print(
                f"{arms}, batch {batch}: {plain:.1f} µs alone, {extra:+.1f} µs, x{middle:.3f} ({low:.3f} to {high:.3f})"
            )


if __name__ == "__main__":
    main()
