"""Move a model's aliases as the gate's verdict says."""

from dataclasses import dataclass
from typing import Literal

from adloom.config.gate import Verdict
from adloom.errors import UserError
from adloom.registry import pairing, promotion
from adloom.registry.base import CHALLENGER, CHAMPION, ModelVersion, Registry


@dataclass(frozen=True)
class Outcome:
    """The result of registering one model."""

    model: str
    version: int | None  # None when the model was skipped
    verdict: Verdict | Literal["skipped"]
    reasons: list[str]
    champion: int | None  # the version of the champion now


def apply_verdict(
    registry: Registry,
    version: ModelVersion,
    verdict: Verdict,
    reasons: list[str],
    champion: ModelVersion | None,
    *,
    approve: bool,
) -> Outcome:
    """Make a version the challenger; when the verdict is promote, make it and its pair champions or ask a person."""
    model, number = version.model, version.version
    current = champion.version if champion else None
    if CHALLENGER not in version.aliases:
        registry.set_alias(model, CHALLENGER, number, "registered")
    if verdict != "promote" or CHAMPION in version.aliases:
        return Outcome(model, number, verdict, reasons, current)
    try:
        companions = _find_promotable(registry, version)
    except UserError as error:
        return Outcome(model, number, "hold", [*reasons, str(error)], current)
    if approve:
        along = "".join(f", with {other.model} {other.version}" for other in companions)
        advice = f"gate.approve: `adloom promote {model} {number}` makes it champion{along}"
        return Outcome(model, number, "promote", [*reasons, advice], current)
    for other in companions:
        registry.set_alias(other.model, CHAMPION, other.version, f"with {model} {number}")
    reason = "; ".join(reasons) or "the gate has no rules for it"
    return Outcome(model, number, "promote", reasons, registry.set_alias(model, CHAMPION, number, reason))


def _find_promotable(registry: Registry, version: ModelVersion) -> list[ModelVersion]:
    """Return the versions to promote with this one. Raises UserError when one of them must not be champion."""
    companions = pairing.find_companions(registry, version)
    for other in companions:
        if reason := promotion.find_revoked(registry.alias_events(other.model)).get(other.version):
            raise UserError(f"{other.model} {other.version}, its pair, was withdrawn by a person ({reason})")
        if other.tags.get("verdict") != "promote":
            raise UserError(f"{other.model} {other.version}, its pair, is not promoted; `adloom models` says why")
    return companions
