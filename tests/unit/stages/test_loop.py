"""The loop closes: what is served is logged, what is logged trains, what was trained is judged, and serves better."""

from pathlib import Path

import pandas as pd
import pytest
from tests.conftest import MakeTable
from tests.unit.policy.worlds import SETTING, UNIFORM, decide, prepared, serve, table
from tests.unit.stages import copywriters
from tests.unit.stages.policies import SEED, best

from adloom.io import manifest
from adloom.io.outside import Outside
from adloom.params import Source, TrainPolicy
from adloom.policy.scorer import Policy
from adloom.policy.simulator import Log, World
from adloom.stages import evaluate, train_policy
from adloom.stages.register import Candidate, register

PARAMS = TrainPolicy(maturity_hours=2)
ROWS = 6000


def trained(root: Path, name: str, logs: list[Log], make_table: MakeTable, outside: Outside) -> Candidate:
    """Train a policy on all logs but the last, and measure it on the last."""
    parts = [prepared(log, "calibration", i) for i, log in enumerate(logs[:-1])]
    rows = make_table("impressions", pd.concat([*parts, prepared(logs[-1], "holdout", len(logs))], ignore_index=True))
    nothing = root / "nothing"
    manifest.skip(nothing, "segment", Source(uri="x"), "no source")
    made = Candidate(root / name, rows, nothing, root / f"report-{name}")
    train_policy.run(
        train_policy.Inputs(rows, nothing, nothing, nothing), train_policy.Outputs(made.model), PARAMS, outside
    )
    given = evaluate.Inputs(made.model, made.table, made.judge)
    evaluate.run(given, evaluate.Outputs(made.report), copywriters.EVALUATE, outside)
    return made


def test_from_served_decisions_to_a_better_policy(tmp_path: Path, make_table: MakeTable, outside: Outside) -> None:
    world, gate = World(SETTING, SEED), copywriters.params().register
    first = [serve(world, None, ROWS) for _ in range(2)]
    candidate = trained(tmp_path, "first", first, make_table, outside)
    policy = Policy.load(candidate.model / "policy.npz")

    metrics = evaluate.measure(candidate.model, candidate.table, candidate.judge, copywriters.EVALUATE).metrics
    true = first[-1].value(decide(policy, first[-1].situations))  # exact, in the very situations of the log
    assert metrics["click_rate"].low <= true <= metrics["click_rate"].high
    assert world.exact(table(policy)) > 1.3 * world.exact(UNIFORM)
    promoted = register(candidate, gate, outside)
    assert (promoted.verdict, promoted.champion) == ("promote", 1)

    second = [serve(world, policy, ROWS) for _ in range(2)]
    served, even = (
        sum(log.value(log.situations.look_up(chances)) for log in second) for chances in (table(policy), UNIFORM)
    )
    assert sum(log.clicked.mean() for log in second) == pytest.approx(served, rel=0.1)
    assert served > 1.3 * even
    again = trained(tmp_path, "second", [*first, *second], make_table, outside)
    later = Policy.load(again.model / "policy.npz")
    most = world.exact(table(best(world, 50.0)))
    assert world.exact(table(policy)) < world.exact(table(later)) < most
