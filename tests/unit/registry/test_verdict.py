"""The aliases follow the verdict."""

from pathlib import Path

import pytest
from tests.support.tiny_models import write_audience, write_generator, write_policy

from adloom.config.gate import Verdict
from adloom.registry import promotion
from adloom.registry.base import CHALLENGER, CHAMPION, ModelVersion, find_alias
from adloom.registry.memory import MemoryRegistry
from adloom.registry.pairing import AUDIENCE_TAG
from adloom.registry.verdict import Outcome, apply_verdict
from adloom.storage import manifest


@pytest.fixture
def registry(tmp_path: Path) -> MemoryRegistry:
    return MemoryRegistry(tmp_path / "registry")


@pytest.fixture
def version(registry: MemoryRegistry, tmp_path: Path) -> ModelVersion:
    write_generator(tmp_path / "gan")
    return registry.register("gan", tmp_path / "gan", {"verdict": "promote"})


@pytest.fixture
def policy(registry: MemoryRegistry, tmp_path: Path) -> ModelVersion:
    """A policy whose audience is promoted as well, but not champion yet."""
    write_audience(tmp_path / "audience", b"k" * 32)
    digest = manifest.digest(tmp_path / "audience")
    write_policy(tmp_path / "policy", digest)
    registry.register("audience", tmp_path / "audience", {"verdict": "promote"})
    return registry.register("policy", tmp_path / "policy", {"verdict": "promote", AUDIENCE_TAG: digest})


def aliases(registry: MemoryRegistry, model: str) -> tuple[str, ...]:
    return registry.versions(model)[0].aliases


@pytest.mark.parametrize(
    ("verdict", "expected"), [("promote", (CHALLENGER, CHAMPION)), ("hold", (CHALLENGER,)), ("reject", (CHALLENGER,))]
)
def test_only_promote_makes_a_champion(
    registry: MemoryRegistry, version: ModelVersion, verdict: Verdict, expected: tuple[str, ...]
) -> None:
    outcome = apply_verdict(registry, version, verdict, ["a reason"], None, approve=False)
    assert outcome == Outcome("gan", 1, verdict, ["a reason"], 1 if verdict == "promote" else None)
    assert aliases(registry, "gan") == expected


def test_a_second_call_records_no_event(registry: MemoryRegistry, version: ModelVersion) -> None:
    first = apply_verdict(registry, version, "promote", [], None, approve=False)
    (champion,) = registry.versions("gan")
    assert apply_verdict(registry, champion, "promote", [], champion, approve=False) == first
    assert [event.reason for event in registry.alias_events("gan")] == ["registered", "the gate has no rules for it"]


def test_with_approve_a_person_promotes(registry: MemoryRegistry, policy: ModelVersion) -> None:
    outcome = apply_verdict(registry, policy, "promote", [], None, approve=True)
    assert (outcome.verdict, outcome.champion) == ("promote", None)
    assert outcome.reasons[-1].endswith("`adloom promote policy 1` makes it champion, with audience 1")
    assert find_alias(registry.versions("policy"), CHAMPION) is None


def test_a_policy_takes_its_audience_along(registry: MemoryRegistry, policy: ModelVersion) -> None:
    assert apply_verdict(registry, policy, "promote", [], None, approve=False).champion == 1
    assert aliases(registry, "audience") == (CHAMPION,)
    assert registry.alias_events("audience")[-1].reason == "with policy 1"


@pytest.mark.parametrize("why", ["not promoted", "withdrawn"])
def test_a_policy_waits_for_its_audience(
    registry: MemoryRegistry, policy: ModelVersion, tmp_path: Path, why: str
) -> None:
    if why == "not promoted":
        registry.register("audience", tmp_path / "audience", {"verdict": "hold"})
    else:
        write_audience(tmp_path / "other", b"o" * 32)
        registry.register("audience", tmp_path / "other", {"verdict": "promote"})
        registry.set_alias("audience", CHAMPION, 1, "first")
        promotion.promote(registry, "audience", 2, "mixed up")
    outcome = apply_verdict(registry, policy, "promote", [], None, approve=False)
    assert (outcome.verdict, outcome.champion) == ("hold", None)
    assert outcome.reasons[-1].startswith("audience 1, its pair, ")
