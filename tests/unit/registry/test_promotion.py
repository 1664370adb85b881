"""Promotion by people: the alias moves with a reason, and history says which champion came before."""

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.config.sources import Source
from adloom.errors import UserError
from adloom.registry import promotion
from adloom.registry.base import CHAMPION, Actor, AliasEvent, find_alias
from adloom.registry.memory import MemoryRegistry
from adloom.storage import manifest


def move(version: int, by: Actor = "gate", alias: str = CHAMPION) -> AliasEvent:
    return AliasEvent(alias, version, f"{by} says so", by, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def registry(tmp_path: Path) -> MemoryRegistry:
    """Two versions of the reader; the gate promoted both, one after the other."""
    registry = MemoryRegistry(tmp_path / "registry")
    for number in (1, 2):
        folder = tmp_path / f"cnn-{number}"
        with manifest.draft(folder, "train_cnn", Source(uri=str(number)), {}) as draft:
            (draft.path / "reader.onnx").write_bytes(bytes([number]))
        tags = {"verdict": "promote", "numbers": json.dumps({"accuracy": 0.91}), "reasons": json.dumps(["it is good"])}
        registry.register("cnn", folder, tags)
        registry.set_alias("cnn", CHAMPION, number, f"gate, release {number}")
    return registry


def champion(registry: MemoryRegistry) -> int | None:
    version = find_alias(registry.versions("cnn"), CHAMPION)
    return version.version if version else None


def test_rollback_returns_to_the_champion_before(registry: MemoryRegistry) -> None:
    assert [v.version for v in promotion.rollback(registry, "cnn", "bags read as shirts")] == [1]
    assert champion(registry) == 1
    assert [m.reason for m in registry.alias_events("cnn")][-1] == "bags read as shirts"


def test_a_second_rollback_has_nowhere_to_go(registry: MemoryRegistry) -> None:
    promotion.rollback(registry, "cnn", "bags read as shirts")
    with pytest.raises(UserError, match=r"cnn: no champion before \[1\]; `adloom promote cnn VERSION` names one"):
        promotion.rollback(registry, "cnn", "again")
    assert champion(registry) == 1


def test_a_person_promotes_any_version(registry: MemoryRegistry) -> None:
    promotion.promote(registry, "cnn", 1, "the old one was better on shoes")
    assert champion(registry) == 1
    assert promotion.find_revoked(registry.alias_events("cnn")) == {2: "the old one was better on shoes"}
    promotion.promote(registry, "cnn", 2, "no, it was not")
    assert promotion.find_revoked(registry.alias_events("cnn")) == {1: "no, it was not"}


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 1001])
def test_without_a_reason_nothing_moves(registry: MemoryRegistry, reason: str) -> None:
    with pytest.raises(UserError, match="--reason: "):
        promotion.promote(registry, "cnn", 1, reason)
    with pytest.raises(UserError, match="--reason: "):
        promotion.rollback(registry, "cnn", reason)
    assert champion(registry) == 2
    assert len(registry.alias_events("cnn")) == 2


def test_unknown_versions_and_models_are_refused(registry: MemoryRegistry) -> None:
    with pytest.raises(UserError, match=r"cnn: no version 9; registered: \[1, 2\]"):
        promotion.promote(registry, "cnn", 9, "why not")
    with pytest.raises(UserError, match="gan: no version 1; registered: none, `adloom register` makes one"):
        promotion.promote(registry, "gan", 1, "why not")
    with pytest.raises(
        UserError,
        match="cmm: no such model; expected one of gan, cnn, lstm, style, music, audience, recommender, policy",
    ):
        promotion.promote(registry, "cmm", 1, "why not")
    with pytest.raises(UserError, match="gan: no champion before it"):
        promotion.rollback(registry, "gan", "why not")


def test_the_history_omits_champions_that_were_rolled_back() -> None:
    moves = [move(1), move(1, alias="challenger"), move(2), move(3), move(2, "rollback"), move(4), move(4, "person")]
    assert promotion.champion_history(moves) == [1, 2, 4]
    assert promotion.champion_history([*moves, move(2, "rollback"), move(1, "rollback")]) == [1]


def test_a_version_the_gate_replaced_may_compete_again() -> None:
    assert promotion.find_revoked([move(1), move(2)]) == {}
    assert promotion.find_revoked([move(1), move(2), move(1, "rollback")]) == {2: "rollback says so"}
    assert promotion.find_revoked([move(1), move(2), move(1, "rollback"), move(3)]) == {2: "rollback says so"}


@given(st.lists(st.sampled_from([1, 2, 3, "back"]), max_size=12))
def test_the_history_ends_with_the_champion_and_repeats_none_in_a_row(steps: list[int | str]) -> None:
    moves: list[AliasEvent] = []
    for step in steps:
        past = promotion.champion_history(moves)
        if isinstance(step, int):
            moves.append(move(step))
        elif len(past) > 1:
            moves.append(move(past[-2], "rollback"))
    past = promotion.champion_history(moves)
    assert past[-1:] == [m.version for m in moves][-1:]
    assert all(a != b for a, b in pairwise(past))


def test_the_list_shows_events_with_time_and_reason(registry: MemoryRegistry) -> None:
    rows = list(promotion.summarize(registry))
    assert [(row.model, row.version, row.aliases, row.numbers) for row in rows] == [
        ("cnn", 1, (), {"accuracy": 0.91}),
        ("cnn", 2, ("champion",), {"accuracy": 0.91}),
    ]
    shown = "\n".join(promotion.format_rows(rows))
    assert "cnn         2  promote  champion               accuracy 0.91" in shown
    assert "champion (gate): gate, release 2" in shown
    assert list(promotion.format_rows([])) == []
