"""The loop closes: decisions served, logged, clicked, made impressions of, learned from, and served better."""

import json
import time
from pathlib import Path
from random import Random
from time import perf_counter

import msgspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from tests.conftest import MakeTable
from tests.support import copywriters
from tests.support.policies import oracle_policy
from tests.support.simulated_logs import UNIFORM, WORLD, decide_all, probability_table

from adloom.cli.main import cli
from adloom.config.audience import TrainPolicy
from adloom.config.settings import Settings
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.data import contracts
from adloom.decision_log.log import DecisionLog, open_log
from adloom.decision_log.record import Decision, Feedback, Record
from adloom.policy.scorer import Policy
from adloom.serving.api.decide_schemas import DecideAnswer, DecideRequest
from adloom.serving.decide.service import Decider
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys
from adloom.stages import train_policy
from adloom.stages.measure import measure
from adloom.storage import manifest
from adloom.world.simulator import HOUR, Contexts, Log, World, concatenate_logs, creative_id

SEED = 3
ROWS = 6000  # of each period
STEP = 2000
CANDIDATES = [creative_id(i) for i in range(WORLD.creatives)]
DAYS = 2 * 24 * HOUR  # by which the world began before now
PARAMS = TrainPolicy(maturity_hours=2)


class WorldTime:
    """Passes records on to a decision log in the order of the world's clock, which goes faster than ours."""

    def __init__(self, log: DecisionLog) -> None:
        self.begun = time.time_ns() // 1000 - int(DAYS)
        self.hour = 0.0
        self._log = log
        self._waiting: list[Record] = []

    def append(self, record: Record, /) -> bool:
        """Take what the decider logs, as of this hour."""
        self._waiting.append(msgspec.structs.replace(record, time=self.at(self.hour)))
        return True

    def click(self, decision: Decision, hour: float) -> None:
        """Take a click that comes at an hour, on what a decision showed."""
        shown = decision.chosen[0]
        feedback = Feedback(time=self.at(hour), decision_id=decision.decision_id, creative_id=shown, kind="click")
        self._waiting.append(feedback)

    def at(self, hour: float) -> int:
        return self.begun + int(hour * HOUR)

    def decided(self, last: int) -> list[Decision]:
        """The last decisions."""
        return [record for record in self._waiting if isinstance(record, Decision)][-last:]

    def pass_on(self, until: float = np.inf) -> None:
        """Log what came before an hour."""
        self._waiting.sort(key=lambda record: record.time)
        end = np.inf if until == np.inf else self.at(until)
        for record in self._waiting:
            if record.time < end:
                assert self._log.append(record)
        self._waiting = [record for record in self._waiting if record.time >= end]


class Shop:
    """A world whose creatives are chosen by the decider."""

    def __init__(self, models: Models, log: DecisionLog) -> None:
        self.world, self.clock = World(WORLD, SEED), WorldTime(log)
        self.decider = Decider(models, PseudonymKeys(None), self.clock, "shop")
        self.decider._random = Random(SEED).random  # so that every run draws alike

    def serve(self, rows: int) -> Log:
        """Let the world go on for so many impressions, and return what it knows of them."""
        parts = []
        for _ in range(rows // STEP):
            parts.append(self._step(self.world.next_contexts(STEP)))
            self.clock.pass_on(until=float(parts[-1].contexts.hour[-1]))
        return concatenate_logs(parts)

    def _step(self, now: Contexts) -> Log:
        for i in range(len(now)):
            self.clock.hour = float(now.hour[i])
            where = {"placement": f"p{now.placement[i]}", "segment": f"s{now.segment[i]}", "position": 1}
            request = msgspec.convert({**where, "candidates": CANDIDATES, "tmax_ms": 60_000}, DecideRequest)
            [answer] = self.decider.decide([(request, perf_counter())])
            assert isinstance(answer, DecideAnswer)
            assert answer.tier == "model"
        decisions = self.clock.decided(len(now))
        action = np.array([CANDIDATES.index(decision.chosen[0]) for decision in decisions])
        log = self.world.show(now, action, np.array([decision.propensities[0] for decision in decisions]))
        for i in np.flatnonzero(log.clicked).tolist():
            self.clock.click(decisions[i], float(log.outcome_hour[i]))
        return log


def artifact(target: Path, policy: Policy) -> Models:
    """Write a policy by hand as an artifact, and open it as a service does."""
    with manifest.draft(target / "policy", "train_policy", Source(uri="by hand"), {}) as parts:
        policy.save(parts.path / "policy.npz")
        (parts.path / "card.json").write_text(json.dumps({"model": "policy", "audience": None}))
    return served(target)


def served(folder: Path) -> Models:
    models = loader.load(sources.find_in_folder(folder, ["policy"]), threads=1)
    assert models.absent == {}
    return models


def impressions(log: Path, out: Path) -> pd.DataFrame:
    """Return what the commands make of a log, by the contract of the table, the oldest first."""
    for command in (["verify", str(log), "--json"], ["to-impressions", str(log), "--out", str(out), "--json"]):
        done = CliRunner().invoke(cli, ["log", *command])
        assert done.exit_code == 0, done.output
    parts = pd.concat([pd.read_parquet(day) for day in out.glob("*.parquet")], ignore_index=True)
    rows, reasons = contracts.validate(parts, "impressions")
    assert (reasons == "").all()
    return rows.sort_values("timestamp", ignore_index=True)


def trained(folder: Path, impressions: Path, context: StageContext) -> Policy:
    """Train a policy as models/policy of a folder; there is no audience and there are no pictures."""
    manifest.skip(folder / "none", "segment", Source(uri="x"), "no source")
    inputs = train_policy.Inputs(impressions, *[folder / "none"] * 4)
    train_policy.run(inputs, train_policy.Outputs(folder / "policy"), PARAMS, context)
    return Policy.load(folder / "policy" / "policy.npz")


def test_from_served_decisions_to_a_better_policy_that_serves(
    tmp_path: Path, make_table: MakeTable, context: StageContext
) -> None:
    log = open_log(Settings(home=tmp_path / "home"), "shop")
    shop = Shop(artifact(tmp_path / "uniform", oracle_policy(World(WORLD, SEED), 0.0)), log)
    learned_from, judged_on = shop.serve(ROWS), shop.serve(ROWS)
    shop.clock.pass_on()
    log.close()

    rows = impressions(tmp_path / "home" / "decisions", tmp_path / "impressions")
    assert len(rows) == 2 * ROWS
    assert rows["clicked"].sum() == learned_from.clicked.sum() + judged_on.clicked.sum()
    np.testing.assert_allclose(rows["propensity"], 1 / WORLD.creatives)
    rows["split"] = np.repeat(["calibration", "holdout"], ROWS)
    table_of_rows = make_table("impressions", rows)
    policy = trained(tmp_path / "trained", table_of_rows, context)

    result = measure(
        tmp_path / "trained" / "policy", table_of_rows, tmp_path / "trained" / "none", copywriters.EVALUATE
    )
    estimate = result.metrics["click_rate"]
    true = judged_on.true_value(decide_all(policy, judged_on.contexts))  # exact, in the very situations of the log
    even = judged_on.true_value(judged_on.contexts.look_up(UNIFORM))
    assert estimate.low <= true <= estimate.high
    assert true > 1.3 * even
    assert shop.world.exact_value(probability_table(policy)) > 1.3 * shop.world.exact_value(UNIFORM)

    log = open_log(Settings(home=tmp_path / "later"), "shop")
    later = Shop(served(tmp_path / "trained"), log)
    after = later.serve(ROWS)
    log.close()
    np.testing.assert_allclose(
        after.propensity, decide_all(policy, after.contexts)[np.arange(ROWS), after.action], rtol=1e-6
    )
    assert after.clicked.mean() == pytest.approx(after.true_value(decide_all(policy, after.contexts)), rel=0.1)
    assert after.clicked.mean() > 1.3 * judged_on.clicked.mean()
