"""Promotion: which version is the champion, and who said so. A person may overrule the gate, with a reason."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from adloom.config.models import MODELS
from adloom.errors import LockedError, UserError
from adloom.registry import pairing
from adloom.registry.base import CHAMPION, Actor, AliasEvent, ModelVersion, Registry

MAX_REASON = 1000  # characters


@dataclass(frozen=True)
class VersionSummary:
    """One version as `adloom models` shows it."""

    model: str
    version: int
    aliases: tuple[str, ...]
    verdict: str
    numbers: dict[str, float]
    reasons: list[str]
    moves: list[AliasEvent]  # of aliases, to this version


def summarize(registry: Registry) -> Iterator[VersionSummary]:
    """Yield every version of every model, oldest first."""
    for model in MODELS:
        versions = registry.versions(model)
        moves = registry.alias_events(model) if versions else []
        yield from (_row(version, moves) for version in versions)


def format_rows(rows: list[VersionSummary]) -> Iterator[str]:
    """Yield the versions as lines for a terminal."""
    if not rows:
        yield "no versions; `adloom run` makes and registers them"
    for row in rows:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in row.numbers.items())
        yield f"{row.model:9} {row.version:>3}  {row.verdict:8} {', '.join(row.aliases):22} {numbers}".rstrip()
        yield from (f"{'':15}{reason}" for reason in row.reasons if row.verdict != "promote")
        yield from (f"{'':15}{move.at:%Y-%m-%d %H:%M} {move.alias} ({move.by}): {move.reason}" for move in row.moves)


def promote(registry: Registry, model: str, version: int, reason: str) -> list[ModelVersion]:
    """
    Make a version the champion, a policy together with its audience; return what became champion.

    Raises UserError when there is no reason, model or version, or the champions would not be a pair, LockedError when
    another was named at the same moment.
    """
    _check(model, reason)
    known = {v.version: v for v in registry.versions(model)}
    if version not in known:
        listed = list(known) or "none, `adloom register` makes one"
        raise UserError(f"{model}: no version {version}; registered: {listed}")
    named = [*pairing.find_companions(registry, known[version]), known[version]]
    for each in named:
        _crown(registry, each.model, each.version, reason, "person")
    return named


def rollback(registry: Registry, model: str, reason: str) -> list[ModelVersion]:
    """
    Make the champion before this one the champion again, audience and policy together; return what became champion.

    Raises UserError when there is none, or the champions would not be a pair, LockedError when another was named at the
    same moment.
    """
    _check(model, reason)
    past = _line(registry, model)
    if len(past) < 2:
        raise UserError(f"{model}: no champion before {past or 'it'}; `adloom promote {model} VERSION` names one")
    version = next(v for v in registry.versions(model) if v.version == past[-2])
    if model == pairing.AUDIENCE:
        others = pairing.find_former_policy(registry, version, _line(registry, pairing.POLICY)[:-1])
    else:
        others = pairing.find_companions(registry, version)
    named = sorted([*others, version], key=lambda each: each.model)  # the audience first, as in a promotion
    for each in named:
        _back(registry, each, reason)
    return named


def _line(registry: Registry, model: str) -> list[int]:
    return champion_history(registry.alias_events(model)) if registry.versions(model) else []


def _back(registry: Registry, version: ModelVersion, reason: str) -> None:
    """Name a former champion; it is a rollback only of the promotion that followed on its own."""
    last = _line(registry, version.model)[-2:-1] == [version.version]
    _crown(registry, version.model, version.version, reason, "rollback" if last else "person")


def _crown(registry: Registry, model: str, version: int, reason: str, by: Actor) -> None:
    if (now := registry.set_alias(model, CHAMPION, version, reason, by)) != version:
        raise LockedError(
            f"{model}: {now} was named at the same moment, after {version}; `adloom models` says by whom and why"
        )


def champion_history(moves: list[AliasEvent]) -> list[int]:
    """Return the champions that led to this one, oldest first; what was rolled back is not among them."""
    past: list[int] = []
    for move in moves:
        if move.alias != CHAMPION or past[-1:] == [move.version]:
            continue
        past = past[:-2] if move.by == "rollback" else past
        past.append(move.version)
    return past


def find_revoked(moves: list[AliasEvent]) -> dict[int, str]:
    """Return the versions a person took the championship from, with the reason; only a person gives it back."""
    taken: dict[int, str] = {}
    champion: int | None = None
    for move in (move for move in moves if move.alias == CHAMPION):
        if champion is not None and champion != move.version and move.by != "gate":
            taken[champion] = move.reason
        taken.pop(move.version, None)
        champion = move.version
    return taken


def _check(model: str, reason: str) -> None:
    if model not in MODELS:
        raise UserError(f"{model}: no such model; expected one of {', '.join(MODELS)}")
    if not reason.strip():
        raise UserError("--reason: empty; say why, it stays with the version for whoever asks later")
    if len(reason) > MAX_REASON:
        raise UserError(f"--reason: {len(reason)} characters, expected at most {MAX_REASON}")


def _row(version: ModelVersion, moves: list[AliasEvent]) -> VersionSummary:
    tags = version.tags
    return VersionSummary(
        version.model,
        version.version,
        version.aliases,
        tags.get("verdict", "unknown"),
        json.loads(tags.get("numbers", "{}")),
        json.loads(tags.get("reasons", "[]")),
        [move for move in moves if move.version == version.version],
    )
