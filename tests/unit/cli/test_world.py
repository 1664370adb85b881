"""`adloom world run` against a service in this process."""

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.uvicorn_server import running
from tests.support.worlds import FixedService, small_world

from adloom.cli import world
from adloom.cli.main import cli
from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.decision_log.record import Feedback
from adloom.errors import UnavailableError
from adloom.serving import app
from adloom.serving.decide.service import MemoryLog
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys
from adloom.storage import manifest
from adloom.world.playing import Decision, Player, RequestBody


@pytest.fixture
def served() -> Iterator[tuple[str, MemoryLog]]:
    """A service that knows no policy."""
    log = MemoryLog()
    dependencies = app.ServiceDependencies(PseudonymKeys(None), log=log, ready_without_model=True)
    with running(app.create_decide_app(Models({}, {}), dependencies)) as port:
        yield f"http://127.0.0.1:{port}", log


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command play a small world without downloads."""
    monkeypatch.setattr(world, "open_adworld", lambda store, seed: small_world(seed))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["world", "run", *arguments])


def test_it_prints_the_rates_and_draws_the_regret(served: tuple[str, MemoryLog], tmp_path: Path) -> None:
    url, log = served
    result = run("--url", url, "--impressions", "250", "--plot", str(tmp_path / "regret.png"))
    assert result.exit_code == 0, result.output
    assert "decided by default 250" in result.output
    assert re.search(r"^click rate +\d+\.\d+% \(.* to .*\), true rate ", result.output, re.MULTILINE)
    assert re.search(r"^lift over uniform +[+-]", result.output, re.MULTILINE)
    assert (tmp_path / "regret.png").read_bytes().startswith(b"\x89PNG")
    feedback = sum(isinstance(record, Feedback) for record in log.records)
    assert len(log.records) - feedback == 250
    assert feedback > 0


def test_the_policys_own_estimate_is_that_of_the_registry(
    tmp_path: Path, context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with manifest.draft(tmp_path / "policy", "train_policy", Source(uri="test"), {}):
        pass
    version = context.registry.register("policy", tmp_path / "policy", {"numbers": '{"click_rate": 0.125}'})
    monkeypatch.setattr(world, "load_context", lambda path: (None, context))
    monkeypatch.chdir(tmp_path)
    served = Counter({version.digest: 3, "of another registry": 1})
    assert world.find_estimate(served) is None  # no project is here
    world.PARAMS_FILE.touch()
    assert world.find_estimate(served) == 0.125
    assert world.find_estimate(Counter({"of another registry": 1})) is None
    assert world.find_estimate(Counter()) is None


def test_a_service_that_is_away_is_one_plain_error() -> None:
    result = run("--url", "http://127.0.0.1:9", "--impressions", "1")
    assert isinstance(result.exception, UnavailableError)


def test_a_plot_that_cannot_be_written_is_refused_before_the_run() -> None:
    assert "no folder absent" in str(run("--url", "http://127.0.0.1:9", "--plot", "absent/plot.png").exception)


class ImpatientPerson(FixedService):
    """A person presses Ctrl-C at the tenth decision."""

    def decide(self, body: RequestBody) -> Decision:
        if len(self.requests) == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return super().decide(body)


def test_the_first_interrupt_ends_a_run_with_all_its_feedback() -> None:
    adworld = small_world()
    service = ImpatientPerson(adworld.running.ids[0])
    before = signal.getsignal(signal.SIGINT)
    logs, interrupted = world.play(Player(adworld, service), 1000, progress=False)
    assert interrupted
    [log] = logs
    clicks = [body for body in service.feedback if body["kind"] == "click"]
    assert len(clicks) == log.clicked.sum() > 0
    assert signal.getsignal(signal.SIGINT) is before
