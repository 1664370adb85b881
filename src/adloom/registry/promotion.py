"""Promotion and rollback by a person."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

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
        events = registry.alias_events(model) if versions else []
        yield from (_summarize_version(version, events) for version in versions)


def read_numbers(version: ModelVersion) -> dict[str, float]:
    """Return the metrics that `adloom models` shows of a version."""
    numbers: dict[str, float] = json.loads(version.tags.get("numbers", "{}"))
    return numbers


def format_rows(rows: list[VersionSummary]) -> Iterator[str]:
    """Yield the versions as lines for a terminal."""
    for row in rows:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in row.numbers.items())
        yield f"{row.model:9} {row.version:>3}  {row.verdict:8} {', '.join(row.aliases):22} {numbers}".rstrip()
        yield from (f"{'':15}{reason}" for reason in row.reasons if row.verdict != "promote")
        yield from (f"{'':15}{move.at:%Y-%m-%d %H:%M} {move.alias} ({move.by}): {move.reason}" for move in row.moves)


def promote(registry: Registry, model: str, version: int, reason: str) -> list[ModelVersion]:
    """
    Make a version the champion, a policy together with its audience; return the new champions.

    Raises UserError for wrong arguments or without a pair, LockedError when another process promotes meanwhile.
    """
    _check_arguments(model, reason)
    versions = {v.version: v for v in registry.versions(model)}
    if version not in versions:
        registered = list(versions) or "none, `adloom register` makes one"
        raise UserError(f"{model}: no version {version}; registered: {registered}")
    champions = [*pairing.find_companions(registry, versions[version]), versions[version]]
    for champion in champions:
        _set_champion(registry, champion, reason, "person")
    return champions


def rollback(registry: Registry, model: str, reason: str, made_by: str = "") -> list[ModelVersion]:
    """
    Make the previous champion the champion again, audience and policy together; return the new champions.

    `made_by` is the start of the reason that made the present champion. Raises as `promote` does, and UserError without
    a previous champion or if another reason made the present one.
    """
    _check_arguments(model, reason)
    _check_origin(registry, model, made_by)
    history = _read_history(registry, model)
    if len(history) < 2:
        raise UserError(f"{model}: no champion before {history or 'it'}; `adloom promote {model} VERSION` names one")
    version = next(v for v in registry.versions(model) if v.version == history[-2])
    if model == pairing.AUDIENCE:
        companions = pairing.find_former_policy(registry, version, _read_history(registry, pairing.POLICY)[:-1])
    else:
        companions = pairing.find_companions(registry, version)
    champions = sorted([*companions, version], key=lambda champion: champion.model)  # the audience first
    for champion in champions:
        is_previous = _read_history(registry, champion.model)[-2:-1] == [champion.version]
        _set_champion(registry, champion, reason, "rollback" if is_previous else "person")
    return champions


def _check_origin(registry: Registry, model: str, made_by: str) -> None:
    """Raise UserError unless the champion's promotion has a reason that starts so."""
    moves = [move for move in registry.alias_events(model) if move.alias == CHAMPION] if made_by else []
    *_, made = [None, *takewhile(lambda move: move.version == moves[-1].version, reversed(moves))]
    if made and not made.reason.startswith(made_by):
        raise UserError(
            f"{model}: version {made.version} is the champion for another reason than {made_by.strip(': ')}: "
            f"{made.reason}; `adloom rollback {model} --reason …` takes that promotion back"
        )


def _read_history(registry: Registry, model: str) -> list[int]:
    return champion_history(registry.alias_events(model)) if registry.versions(model) else []


def _set_champion(registry: Registry, version: ModelVersion, reason: str, by: Actor) -> None:
    current = registry.set_alias(version.model, CHAMPION, version.version, reason, by)
    if current != version.version:
        raise LockedError(
            f"{version.model}: version {current} was promoted at the same time, after {version.version}; "
            "`adloom models` shows by whom and why"
        )


def champion_history(events: list[AliasEvent]) -> list[int]:
    """Return the champions up to the current one, oldest first, without those that were rolled back."""
    history: list[int] = []
    for event in events:
        if event.alias != CHAMPION or history[-1:] == [event.version]:
            continue
        history = history[:-2] if event.by == "rollback" else history
        history.append(event.version)
    return history


def find_revoked(events: list[AliasEvent]) -> dict[int, str]:
    """Return the versions that a person replaced as champion and did not promote again, with the reason."""
    revoked: dict[int, str] = {}
    champion: int | None = None
    for event in (event for event in events if event.alias == CHAMPION):
        if champion is not None and champion != event.version and event.by != "gate":
            revoked[champion] = event.reason
        revoked.pop(event.version, None)
        champion = event.version
    return revoked


def _check_arguments(model: str, reason: str) -> None:
    if model not in MODELS:
        raise UserError(f"{model}: no such model; expected one of {', '.join(MODELS)}")
    check_reason(reason)


def check_reason(reason: str) -> None:
    """Raise UserError for a reason that is empty or too long."""
    if not reason.strip():
        raise UserError("--reason: empty; say why, the registry keeps it")
    if len(reason) > MAX_REASON:
        raise UserError(f"--reason: {len(reason)} characters, expected at most {MAX_REASON}")


def _summarize_version(version: ModelVersion, events: list[AliasEvent]) -> VersionSummary:
    tags = version.tags
    return VersionSummary(
        version.model,
        version.version,
        version.aliases,
        tags.get("verdict", "unknown"),
        read_numbers(version),
        json.loads(tags.get("reasons", "[]")),
        [event for event in events if event.version == version.version],
    )
