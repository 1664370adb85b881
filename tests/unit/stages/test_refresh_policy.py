"""The state of a refresh survives kills, and only a refresh that the fast lane promotes becomes champion."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import MakeTable
from tests.support import copywriters
from tests.support.log_statistics import CANDIDATES, click_rows, shown_rows, simulate_tastes
from tests.support.policies import simulate_impressions, write_policy

from adloom.config.audience import TrainPolicy
from adloom.config.gate import MetricRule
from adloom.context import StageContext
from adloom.errors import ConfigError, UserError
from adloom.policy.scorer import Policy
from adloom.policy.statistics import ImpressionStatistics
from adloom.registry import promotion
from adloom.registry.base import CHAMPION, find_alias
from adloom.registry.verdict import Outcome
from adloom.stages.measure import read_card
from adloom.stages.refresh_policy import RefreshState, StateStore, open_champion, refresh
from adloom.storage import manifest
from adloom.storage.local import FolderObjectStore

RATES = {"hat": 0.1, "bag": 0.3, "shoe": 0.05}


class DyingStore(FolderObjectStore):
    """A store of a process that is killed after some puts."""

    puts = 0

    def put(self, path: Path, name: str) -> None:
        self.puts -= 1
        if self.puts < 0:
            raise KeyboardInterrupt
        super().put(path, name)


@pytest.mark.parametrize("puts", range(4))
def test_a_killed_commit_leaves_the_old_state(puts: int, tmp_path: Path) -> None:
    store = StateStore(FolderObjectStore(str(tmp_path)), "shop")
    old = store.commit(RefreshState(ImpressionStatistics.empty().add(shown_rows([1]), click_rows([]), 2), ("one",)))
    new = replace(old, statistics=old.statistics.add(shown_rows([2]), click_rows([1]), 2), segments=("one", "two"))
    dying = DyingStore(str(tmp_path))
    dying.puts = puts
    with pytest.raises(KeyboardInterrupt):
        StateStore(dying, "shop").commit(new)
    assert (store.load().segments, store.load().statistics.impressions) == (("one",), 1)
    store.commit(new)
    state = store.load()
    assert (state.segments, state.statistics.impressions, state.statistics.clicks, state.number) == (
        new.segments,
        2,
        1,
        2,
    )
    assert {name.split("/")[2] for name in store.objects.list("refresh")} == {"2", "state.json"}


def test_a_run_killed_between_state_and_clean_up_leaks_nothing(tmp_path: Path) -> None:
    store = StateStore(FolderObjectStore(str(tmp_path)), "shop")
    state = store.commit(RefreshState(ImpressionStatistics.empty()))
    neighbour = StateStore(store.objects, "shop-2").commit(state)
    for left in ("7", "8"):
        store.objects.put(tmp_path / "refresh/shop/1/cells.parquet", f"refresh/shop/{left}/cells.parquet")
    state = store.commit(state)
    assert {name.split("/")[2] for name in store.objects.list("refresh/shop")} == {str(state.number), "state.json"}
    assert StateStore(store.objects, "shop-2").load().number == neighbour.number


@pytest.fixture
def registered(context: StageContext, make_table: MakeTable, tmp_path: Path) -> StageContext:
    """Return a context with a uniform champion."""
    folder = write_policy(tmp_path / "policy", make_table("impressions", simulate_impressions(200)), 0.0)
    context.registry.register("policy", folder, {"verdict": "promote", "dataset_digest": "d"})
    context.registry.set_alias("policy", CHAMPION, 1, "first")
    return context


def publish(context: StageContext, statistics: ImpressionStatistics, **gate: Any) -> Outcome:
    params = copywriters.params()
    params = params.model_copy(update={"gate": params.gate.model_copy(update=gate)})
    with open_champion(context) as (champion, folder):
        return refresh(champion, folder, statistics, params, context)[1]


def test_a_better_refresh_becomes_the_champion(registered: StageContext, tmp_path: Path) -> None:
    assert publish(registered, simulate_tastes(RATES)).champion == 2
    champion = find_alias(registered.registry.versions("policy"), CHAMPION)
    assert champion
    folder = registered.registry.fetch(champion, tmp_path / "second")
    shares = Policy.load(folder / "policy.npz").probabilities({"placement": "home"}, CANDIDATES)
    assert shares[1] > max(shares[0], shares[2])
    assert read_card(folder)["refresh"]["champion"] == 1
    assert champion.tags["refreshed_from"] == "1"
    assert champion.tags["dataset_digest"] == "d"


def test_a_worse_refresh_is_not_published(registered: StageContext) -> None:
    misled = simulate_tastes({"hat": 0.02, "bag": 0.02, "shoe": 0.9}, held_out_rate=RATES)
    outcome = publish(registered, misled)
    assert (outcome.verdict, outcome.champion) == ("reject", 1)
    assert len(registered.registry.versions("policy")) == 1


def test_a_refresh_that_misses_a_bar_is_held(registered: StageContext) -> None:
    statistics = simulate_tastes(RATES)
    complained = replace(statistics, cells=statistics.cells.assign(complained=statistics.cells["shown"] // 50))
    for metric, log, bar in (("spend_share", statistics, 0.34), ("complaint_rate", complained, 0.01)):
        held = publish(registered, log, policy=[MetricRule(metric=metric, at_most=bar, margin=0.1)])
        assert (held.verdict, held.champion) == ("hold", 1)
        assert held.reasons[-1].startswith(metric)
        assert f"expected at most {bar}" in held.reasons[-1]
    unmeasured = publish(registered, statistics, policy=[MetricRule(metric="effective_sample_size", at_least=1)])
    assert unmeasured.reasons[-1].startswith("gate.policy has effective_sample_size, which a refresh cannot measure")
    assert publish(registered, statistics, policy=[MetricRule(metric="spend_share", at_most=0.9)]).champion == 2


def test_after_a_rollback_refreshes_wait_for_a_person(registered: StageContext) -> None:
    better = simulate_tastes(RATES)
    assert publish(registered, better).champion == 2
    promotion.rollback(registered.registry, "policy", "complaints")
    held = publish(registered, better)
    assert (held.verdict, held.champion, len(registered.registry.versions("policy"))) == ("hold", 1, 2)
    assert "policy 2, a refresh, was withdrawn by a person (complaints)" in held.reasons[-1]
    promotion.promote(registered.registry, "policy", 2, "it was another cause")
    assert publish(registered, simulate_tastes({"hat": 0.3, "bag": 0.05, "shoe": 0.05})).champion == 3


def test_the_champion_of_a_new_training_ends_the_wait(
    registered: StageContext, make_table: MakeTable, tmp_path: Path
) -> None:
    publish(registered, simulate_tastes(RATES))
    promotion.rollback(registered.registry, "policy", "complaints")
    folder = write_policy(tmp_path / "next", make_table("impressions", simulate_impressions(300)), 0.0)
    trained = registered.registry.register("policy", folder, {"verdict": "promote"})
    registered.registry.set_alias("policy", CHAMPION, trained.version, "trained")
    assert publish(registered, simulate_tastes(RATES)).champion == trained.version + 1


def test_a_robot_is_left_out_and_named(registered: StageContext) -> None:
    statistics = simulate_tastes(RATES, rows=3000)
    robot = range(5000, 6000)
    misled = statistics.add(shown_rows(robot, user=7, creative_id="shoe"), click_rows(robot), 2)
    *reasons, last = publish(registered, misled, approve=True).reasons[:-1]
    assert last.startswith("leaves out 1000 open impressions of robots")
    assert reasons == publish(registered, statistics, approve=True).reasons[:-1]


def test_with_approval_a_person_promotes(registered: StageContext) -> None:
    outcome = publish(registered, simulate_tastes(RATES), approve=True)
    assert (outcome.version, outcome.champion) == (2, 1)
    assert "adloom promote policy 2" in outcome.reasons[-1]


@pytest.mark.parametrize("shown", [0, 2])
def test_a_log_without_clicks_is_no_failure(shown: int, registered: StageContext) -> None:
    outcome = publish(registered, ImpressionStatistics.empty().add(shown_rows(range(shown)), click_rows([]), 2))
    reason = f"nothing to learn yet: 0 of {shown} impressions have clicks, expected some but not all"
    assert (outcome.verdict, outcome.champion, outcome.reasons) == ("hold", 1, [reason])


def test_without_a_champion_the_next_step_is_named(context: StageContext) -> None:
    with pytest.raises(UserError, match="policy: no champion; `adloom run` makes one"), open_champion(context):
        pass


def reward_by(context: StageContext, make_table: MakeTable, tmp_path: Path, reward: str) -> None:
    """Register a champion that learns from another reward."""
    folder = write_policy(tmp_path / reward, make_table("impressions", simulate_impressions(200)), 0.0)
    params = TrainPolicy(reward=reward)  # type: ignore[arg-type] # it is validated
    with manifest.draft(tmp_path / "other", "train_policy", params, {}) as draft:
        shutil.copy(folder / "policy.npz", draft.path)
        draft.describe({**read_card(folder), "format": 1}, params)
    version = context.registry.register("policy", tmp_path / "other", {"verdict": "promote"})
    context.registry.set_alias("policy", CHAMPION, version.version, "first")


def test_a_champion_of_conversions_is_refreshed_by_conversions(
    context: StageContext, make_table: MakeTable, tmp_path: Path
) -> None:
    reward_by(context, make_table, tmp_path, "conversion")
    clicked = simulate_tastes(RATES)
    assert publish(context, clicked).reasons == [
        "nothing to learn yet: 0 of 6000 impressions have conversions, expected some but not all"
    ]
    sold = replace(clicked, cells=clicked.cells.assign(converted=clicked.cells["clicked"]))
    assert publish(context, sold).champion == 2


def test_a_champion_of_values_is_refused(context: StageContext, make_table: MakeTable, tmp_path: Path) -> None:
    reward_by(context, make_table, tmp_path, "value")
    with pytest.raises(ConfigError, match=r"learns from train_policy\.reward: value, .* retrain with `adloom run`"):
        publish(context, simulate_tastes(RATES))
