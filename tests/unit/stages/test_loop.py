"""The loop closes: what is served is logged, what is logged trains, what was trained is judged, and serves better."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.conftest import MakeTable
from tests.support import copywriters
from tests.support.decision_logs import click, decision, frame_segment, write_segment
from tests.support.policies import SEED, oracle_policy
from tests.support.simulated_logs import UNIFORM, WORLD, decide_all, prepare_table, probability_table, simulate_log

from adloom.config.audience import TrainPolicy
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.data import contracts
from adloom.decision_log.impressions import convert
from adloom.decision_log.record import Line
from adloom.policy.scorer import Policy
from adloom.stages import evaluate, train_policy
from adloom.stages.judging import Candidate
from adloom.stages.measure import measure
from adloom.stages.register import register
from adloom.storage import manifest
from adloom.storage.local import FolderStore
from adloom.world.simulator import HOUR, START, Log, World, creative_id

PARAMS = TrainPolicy(maturity_hours=2)
ROWS = 6000


def through_the_decision_log(log: Log, policy: Policy, place: Path) -> pd.DataFrame:
    """Return what `adloom log to-impressions` makes of a log whose decisions and clicks were recorded as served."""
    begun, now = int(START.timestamp() * 1e6), log.contexts
    ids, chances = [creative_id(i) for i in range(WORLD.creatives)], decide_all(policy, now)
    lines: list[Line] = []
    for i in range(len(now)):
        shown = ids[log.action[i]]
        known: dict[str, Any] = {"decision_id": f"{i:032x}", "time": begun + int(now.hour[i] * HOUR)}
        lines.append(
            decision(
                **known, user=None, user_key=None, segment=f"s{now.segment[i]}", placement=f"p{now.placement[i]}",
                context={}, candidates=ids, probabilities=chances[i].tolist(), chosen=[shown],
                propensities=[float(log.propensity[i])],
            )
        )  # fmt: skip
        if log.clicked[i]:
            lines.append(click(**known | {"time": begun + int(log.outcome_hour[i] * HOUR)}, creative_id=shown))
    place.mkdir()
    write_segment(place / "log", frame_segment(lines))
    (place / "scratch").mkdir()
    (place / "made").mkdir()
    convert([str(place / "log")], place / "made", place / "scratch", FolderStore())
    made = pd.concat([pd.read_parquet(day) for day in sorted((place / "made").glob("*.parquet"))], ignore_index=True)
    rows, reasons = contracts.validate(made, "impressions")
    assert (reasons == "").all()
    return rows


def trained(
    root: Path,
    name: str,
    calibration: list[pd.DataFrame],
    holdout: pd.DataFrame,
    make: MakeTable,
    context: StageContext,
) -> Candidate:
    """Train a policy on some impressions, and measure it on others."""
    parts = [rows.assign(split="calibration") for rows in calibration]
    table = make("impressions", pd.concat([*parts, holdout.assign(split="holdout")], ignore_index=True))
    nothing = root / "nothing"
    manifest.skip(nothing, "segment", Source(uri="x"), "no source")
    made = Candidate(root / name, table, nothing, root / f"report-{name}")
    inputs = train_policy.Inputs(table, nothing, nothing, nothing, nothing)
    train_policy.run(inputs, train_policy.Outputs(made.model), PARAMS, context)
    given = evaluate.Inputs(made.model, made.table, made.judge)
    evaluate.run(given, evaluate.Outputs(made.report), copywriters.EVALUATE, context)
    return made


@pytest.mark.slow
def test_from_served_decisions_to_a_better_policy(tmp_path: Path, make_table: MakeTable, context: StageContext) -> None:
    world, gate = World(WORLD, SEED), copywriters.params().register
    first = [simulate_log(world, None, ROWS) for _ in range(2)]
    plain = [prepare_table(log, "", i) for i, log in enumerate(first)]
    candidate = trained(tmp_path, "first", plain[:1], plain[1], make_table, context)
    policy = Policy.load(candidate.model / "policy.npz")

    metrics = measure(candidate.model, candidate.table, candidate.judge, copywriters.EVALUATE).metrics
    true = first[-1].true_value(decide_all(policy, first[-1].contexts))  # exact, in the very situations of the log
    assert metrics["click_rate"].low <= true <= metrics["click_rate"].high
    assert world.exact_value(probability_table(policy)) > 1.3 * world.exact_value(UNIFORM)
    promoted = register(candidate, gate, context)
    assert (promoted.verdict, promoted.champion) == ("promote", 1)

    second = [simulate_log(world, policy, ROWS) for _ in range(2)]
    served, even = (
        sum(log.true_value(log.contexts.look_up(chances)) for log in second)
        for chances in (probability_table(policy), UNIFORM)
    )
    assert sum(log.clicked.mean() for log in second) == pytest.approx(served, rel=0.1)
    assert served > 1.3 * even
    told = [through_the_decision_log(log, policy, tmp_path / f"served-{i}") for i, log in enumerate(second)]
    again = trained(tmp_path, "second", [*plain, told[0]], told[1], make_table, context)
    later = Policy.load(again.model / "policy.npz")
    most = world.exact_value(probability_table(oracle_policy(world, 50.0)))
    assert world.exact_value(probability_table(policy)) < world.exact_value(probability_table(later)) < most
