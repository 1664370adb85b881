"""Audience and policy become champions together, forwards and backwards, or not at all."""

from pathlib import Path

import pytest

from adloom.config.sources import Source
from adloom.errors import UserError
from adloom.registry import pairing, promotion
from adloom.registry.base import CHAMPION, find_alias
from adloom.registry.memory import MemoryRegistry
from adloom.storage import manifest


@pytest.fixture
def registry(tmp_path: Path) -> MemoryRegistry:
    """Two audiences and three policies: 1 and 2 were trained with audience 1, 3 with audience 2. No champions yet."""
    registry = MemoryRegistry(tmp_path / "registry")
    for number in (1, 2):
        registry.register("audience", artifact(tmp_path / f"audience-{number}", "segment"), {"verdict": "promote"})
    for number, audience in enumerate((1, 1, 2), 1):
        tags = {"verdict": "promote", pairing.AUDIENCE_TAG: manifest.digest(tmp_path / f"audience-{audience}")}
        registry.register("policy", artifact(tmp_path / f"policy-{number}", "train_policy"), tags)
    return registry


def artifact(target: Path, stage: str) -> Path:
    with manifest.draft(target, stage, Source(uri=target.name), {}) as draft:
        (draft.path / "file").write_text(target.name, encoding="utf-8")
    return target


def champions(registry: MemoryRegistry) -> tuple[int | None, int | None]:
    """The champion audience and the champion policy."""
    versions = (find_alias(registry.versions(model), CHAMPION) for model in ("audience", "policy"))
    first, second = (version.version if version else None for version in versions)
    return first, second


def promote(registry: MemoryRegistry, model: str, version: int) -> list[tuple[str, int]]:
    return [(v.model, v.version) for v in promotion.promote(registry, model, version, f"{model} {version} is good")]


def back(registry: MemoryRegistry, model: str) -> list[tuple[str, int]]:
    return [(v.model, v.version) for v in promotion.rollback(registry, model, f"{model} is bad")]


def test_a_policy_takes_its_audience_along(registry: MemoryRegistry) -> None:
    assert promote(registry, "policy", 1) == [("audience", 1), ("policy", 1)]
    assert champions(registry) == (1, 1)
    assert promote(registry, "policy", 2) == [("policy", 2)]
    assert promote(registry, "policy", 3) == [("audience", 2), ("policy", 3)]
    assert champions(registry) == (2, 3)
    assert registry.alias_events("audience")[-1].reason == "policy 3 is good"


def test_an_audience_is_promoted_alone_while_no_policy_decides(registry: MemoryRegistry) -> None:
    assert promote(registry, "audience", 2) == [("audience", 2)]
    assert champions(registry) == (2, None)


def test_an_audience_is_not_promoted_away_from_the_policy(registry: MemoryRegistry) -> None:
    promote(registry, "policy", 1)
    with pytest.raises(UserError, match=r"^audience 2: .*policy 1.*`adloom run`.*`adloom promote policy 3`"):
        promote(registry, "audience", 2)
    assert champions(registry) == (1, 1)
    assert promote(registry, "audience", 1) == [("audience", 1)]


def test_an_audience_without_a_policy_waits(registry: MemoryRegistry, tmp_path: Path) -> None:
    promote(registry, "policy", 1)
    registry.register("audience", artifact(tmp_path / "audience-3", "segment"), {"verdict": "promote"})
    with pytest.raises(UserError, match=r"^audience 3: .*policy 1.*`adloom run`.* none is registered$"):
        promote(registry, "audience", 3)


def test_a_policy_whose_audience_is_not_registered_is_refused(registry: MemoryRegistry, tmp_path: Path) -> None:
    registry.register("policy", artifact(tmp_path / "policy-4", "train_policy"), {pairing.AUDIENCE_TAG: "f" * 64})
    with pytest.raises(UserError, match="^policy 4: .*ffffffffffff.*`adloom register`"):
        promote(registry, "policy", 4)


def test_a_policy_that_knows_no_segments_stands_alone(registry: MemoryRegistry, tmp_path: Path) -> None:
    registry.register("policy", artifact(tmp_path / "policy-4", "train_policy"), {})
    assert promote(registry, "policy", 4) == [("policy", 4)]
    assert promote(registry, "audience", 2) == [("audience", 2)]
    assert champions(registry) == (2, 4)


@pytest.mark.parametrize("model", ["policy", "audience"])
def test_both_are_rolled_back_from_either(registry: MemoryRegistry, model: str) -> None:
    promote(registry, "policy", 2)
    promote(registry, "policy", 3)
    assert back(registry, model) == [("audience", 1), ("policy", 2)]
    assert champions(registry) == (1, 2)
    assert promotion.find_revoked(registry.alias_events("policy")).keys() == {3}
    assert promotion.find_revoked(registry.alias_events("audience")).keys() == {2}
    assert promote(registry, "policy", 3) == [("audience", 2), ("policy", 3)]
    assert promotion.find_revoked(registry.alias_events("audience")).keys() == {1}


def test_a_policy_of_the_same_audience_is_rolled_back_alone(registry: MemoryRegistry) -> None:
    promote(registry, "policy", 1)
    promote(registry, "policy", 2)
    assert back(registry, "policy") == [("policy", 1)]
    assert champions(registry) == (1, 1)


def test_an_audience_rolls_back_to_the_last_policy_trained_with_it(registry: MemoryRegistry, tmp_path: Path) -> None:
    second = registry.versions("audience")[1].digest
    registry.register("policy", artifact(tmp_path / "policy-4", "train_policy"), {pairing.AUDIENCE_TAG: second})
    for version in (1, 2, 3, 4):
        promote(registry, "policy", version)
    assert back(registry, "audience") == [("audience", 1), ("policy", 2)]
    assert champions(registry) == (1, 2)


def test_an_audience_without_a_former_policy_is_not_rolled_back(registry: MemoryRegistry) -> None:
    promote(registry, "audience", 1)
    promote(registry, "policy", 3)
    with pytest.raises(UserError, match=r"^audience 1: .*policy 3.*no former champion.*`adloom promote policy 2`"):
        back(registry, "audience")
    with pytest.raises(UserError, match=r"policy: no champion before \[3\]"):
        back(registry, "policy")
    assert champions(registry) == (2, 3)


def test_a_promotion_that_died_between_the_two_is_completed(registry: MemoryRegistry) -> None:
    promote(registry, "policy", 1)
    registry.set_alias("audience", CHAMPION, 2, "and then the machine stopped", by="person")
    assert promote(registry, "policy", 3) == [("policy", 3)]
    assert champions(registry) == (2, 3)
    registry.set_alias("audience", CHAMPION, 1, "stopped again", by="person")
    assert promote(registry, "policy", 2) == [("policy", 2)]
    assert champions(registry) == (1, 2)
