"""`adloom policy refresh`: each segment is read once, also after a kill, and the champion follows."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.conftest import MakeTable
from tests.support import copywriters
from tests.support.decision_logs import click, decision, frame_segment, write_segment
from tests.support.policies import simulate_impressions, write_policy

from adloom.cli.main import cli
from adloom.cli.policy import read_log
from adloom.context import StageContext
from adloom.decision_log.record import Decision, Feedback
from adloom.policy.statistics import ImpressionStatistics
from adloom.registry.base import CHAMPION
from adloom.stages.refresh_policy import StateStore
from adloom.storage.local import FolderObjectStore

CLICKED = {"hat": 0.05, "bag": 0.4, "shoe": 0.05}
NOW = datetime.now(UTC)


def write_log(root: Path, decisions: int, segments: int, project: str = "shop") -> list[str]:
    """Write uniform decisions of today in segments, with their clicks in the segment after; return the names."""
    rng, names = np.random.default_rng(0), []
    clicks: list[Feedback] = []
    for parts in np.array_split(np.arange(decisions), segments):
        records = [decide(int(i), rng) for i in parts]
        new = [
            click(int(i), creative_id=r.chosen[0], time=r.time)
            for i, r in zip(parts, records, strict=True)
            if rng.random() < CLICKED[r.chosen[0]]
        ]
        names.append(move_to_today(root, [*records, *clicks], project))
        clicks = new
    return [*names, move_to_today(root, clicks, project)]


def decide(number: int, rng: np.random.Generator) -> Decision:
    creative = str(rng.choice(list(CLICKED)))
    user = f"{rng.integers(2**32):032x}"[::-1]
    at = time.time_ns() // 1000
    return decision(number, time=at, user=user, chosen=[creative], propensities=[1 / 3], probabilities=[1 / 3] * 3)


def move_to_today(root: Path, records: Sequence[Decision | Feedback], project: str) -> str:
    path = write_segment(root, frame_segment(records))
    target = root / project / f"{NOW:%Y-%m-%d}" / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    return path.rename(target).relative_to(root).as_posix()


class DyingStore(FolderObjectStore):
    """A store of a process that is killed when it reads a segment."""

    victim = ""

    def get(self, name: str, path: Path) -> Path:
        if name == self.victim:
            raise KeyboardInterrupt
        return super().get(name, path)


@pytest.mark.parametrize("killed", [0, 1, 3])
def test_a_killed_run_is_resumed_and_no_segment_counts_twice(
    killed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adloom.cli.policy.SEGMENTS_PER_COMMIT", 1)
    names = write_log(tmp_path, 60, 3)
    dying = DyingStore(str(tmp_path))
    dying.victim = names[killed]
    with pytest.raises(KeyboardInterrupt):
        read_all(StateStore(dying, "shop"))
    statistics = read_all(StateStore(FolderObjectStore(str(tmp_path)), "shop"))
    other = tmp_path / "other"
    write_log(other, 60, 3)
    whole = read_all(StateStore(FolderObjectStore(str(other)), "shop"))
    assert statistics.impressions == 60
    assert statistics.clicks == whole.clicks > 5
    assert read_all(StateStore(FolderObjectStore(str(tmp_path)), "shop")).impressions == 60


def read_all(store: StateStore) -> ImpressionStatistics:
    state = store.load()
    for after in read_log(store, state, copywriters.params(), NOW):
        state = after
    return state.statistics


@pytest.mark.slow
def test_the_command_publishes_what_new_segments_say(
    context: StageContext, make_table: MakeTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_policy(tmp_path / "policy", make_table("impressions", simulate_impressions(200)), 0.0)
    context.registry.register("policy", folder, {"verdict": "promote"})
    context.registry.set_alias("policy", CHAMPION, 1, "first")
    params = copywriters.params()
    monkeypatch.setattr("adloom.cli.policy.load_context", lambda _: (params, context))
    monkeypatch.setenv("ADLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ADLOOM_LOG_URI", str(tmp_path / "log"))
    write_log(tmp_path / "log", 3000, 2, params.project)
    first, second = (
        json.loads(CliRunner().invoke(cli, ["policy", "refresh", "--json"], catch_exceptions=False).output)
        for _ in range(2)
    )
    assert (first["impressions"], first["verdict"], first["champion"]) == (3000, "promote", 2)
    assert (second["impressions"], second["verdict"], second["champion"]) == (3000, "hold", 2)
    assert second["reason.1"] == "nothing new in the log since policy 2 was refreshed"
    assert first["divergence"] <= params.refresh_policy.max_divergence
