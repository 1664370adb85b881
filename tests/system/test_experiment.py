"""An injected regression in the simulated world is rolled back by the watcher within two minutes of the log's time."""

import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec import structs
from tests.support.decision_logs import frame_segment, write_segment
from tests.support.params_files import SHIPPED

from adloom.cli import experiment as command
from adloom.cli.main import cli
from adloom.config import params
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.decision_log.record import Decision, Feedback, Line
from adloom.decision_log.segment_file import format_day
from adloom.experiments.definition import Experiment, decode_event, find_running
from adloom.policy.scorer import Policy, Scorer
from adloom.registry.base import CHALLENGER, CHAMPION
from adloom.serving.api.decide_schemas import DecideRequest, ModelOrigin
from adloom.serving.decide.service import Decider, MemoryLog
from adloom.serving.models.card import ModelCard
from adloom.serving.models.loader import LoadedExperiment, LoadedModel, Models
from adloom.serving.segments import PseudonymKeys
from adloom.storage import manifest
from adloom.world.simulator import Config, World, creative_id

CONFIG = Config(rate=0.05, spread=1.0, wear_out=0.0, drift=0.0, delay_hours=1 / 3600, per_hour=720_000, users=20_000)
SECOND = 1_000_000
SEGMENT = 60  # seconds of the log, 200 decisions each
WATCH_AND_FOLLOW = 15 + 30  # seconds that the watcher and the services wait at most
CREATIVES = [creative_id(i) for i in range(CONFIG.creatives)]

pytestmark = pytest.mark.slow


def load_policy(world: World, version: int, share: float) -> LoadedModel[Scorer]:
    """Return a policy by the true mean rates: 1 prefers the best creatives, -1 the worst."""
    bias = (share * np.log(world.rates.mean((0, 1)))).astype(np.float32)
    policy = Policy(
        tuple(CREATIVES), np.zeros(len(bias), np.int64), (), bias, (), (), (), np.zeros(1, np.float32), 0.5, 0.01
    )
    origin = ModelOrigin(name="policy", version=version, digest=f"{version}" * 64)
    return LoadedModel(origin, "", ModelCard(), policy.scorer, "registry")


def play_segment(world: World, running: Experiment, challenger: float, start: int) -> list[Line]:
    """Return the log of one segment: the real decider's records at the world's times, and clicks of its users."""
    log = MemoryLog()
    policies = {1: load_policy(world, 1, 2.0), 2: load_policy(world, 2, challenger)}
    models = Models({"policy": policies[1]}, {}, experiment=LoadedExperiment(running, policies))
    decider, contexts = Decider(models, PseudonymKeys(None), log, "shop"), world.next_contexts(200 * SEGMENT)
    for user in contexts.user.tolist():
        request = DecideRequest(placement="top", candidates=CREATIVES, user_id=str(user), tmax_ms=60_000)
        decider.decide([(request, time.perf_counter())])
    times = (start + np.arange(len(contexts)) * SECOND // 200).tolist()
    decisions = [
        structs.replace(record, time=at, elapsed_us=100)
        for record, at in zip(log.records, times, strict=True)
        if isinstance(record, Decision)
    ]
    shown = np.array([CREATIVES.index(decision.chosen[0]) for decision in decisions])
    clicked = world.show(contexts, shown, np.ones(len(shown))).clicked
    clicks = [
        Feedback(time=each.time + SECOND, decision_id=each.decision_id, creative_id=each.chosen[0], kind="click")
        for each, click in zip(decisions, clicked.tolist(), strict=True)
        if click
    ]
    return [*decisions, *clicks]


@pytest.fixture
def running(tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """A running experiment, with the decision log in the folder `log`."""
    for number, alias in ((1, CHAMPION), (2, CHALLENGER)):
        with manifest.draft(tmp_path / f"policy-{number}", "train_policy", Source(uri=str(number)), {}):
            pass
        context.registry.register("policy", tmp_path / f"policy-{number}", {})
        context.registry.set_alias("policy", alias, number, "trained")
    loaded = params.load(SHIPPED).model_copy(update={"project": "shop"})
    monkeypatch.setattr(command, "load_context", lambda path: (loaded, context))
    monkeypatch.setenv("ADLOOM_LOG_URI", str(tmp_path / "log"))
    start = ["experiment", "start", "new-policy", "--arms", "champion=80,challenger=20"]
    assert CliRunner().invoke(cli, start).exit_code == 0
    found = find_running(context.registry.experiment_events())
    assert found is not None
    return found


def watch(context: StageContext) -> str:
    """Let the watcher look once, and return the last action."""
    assert CliRunner().invoke(cli, ["experiment", "watch", "--once"]).exit_code == 0
    return decode_event(context.registry.experiment_events()[-1]).action


def test_a_regression_is_rolled_back_within_two_minutes(
    tmp_path: Path, context: StageContext, running: Experiment
) -> None:
    world, at = World(CONFIG, seed=3), running.started
    write_segment(tmp_path / "log", frame_segment(play_segment(world, running, 2.0, at)), format_day(at))
    assert watch(context) == "start"
    injected = at = at + SEGMENT * SECOND
    while watch(context) == "start" and at - injected < 300 * SECOND:
        write_segment(tmp_path / "log", frame_segment(play_segment(world, running, -3.0, at)), format_day(at))
        at += SEGMENT * SECOND
    last = decode_event(context.registry.experiment_events()[-1])
    assert (last.action, last.reason[:22]) == ("rollback", "challenger: click rate")
    assert (at - injected) / SECOND + WATCH_AND_FOLLOW <= 120
