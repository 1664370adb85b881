"""An experiment: its arms and rules, as kept in the registry."""

import re
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from adloom.errors import ConfigError

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
CONTROL, HOLDOUT = "control", "holdout"
ARMS = "champion, challenger, v3 (version 3 of the policy), control (uniform) and holdout (no ad)"

ArmKind = Literal["policy", "uniform", "no ad"]
Goal = Literal["click", "conversion"]
Action = Literal["start", "stop", "promote", "rollback"]


class Arm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share of the users, and the policy that decides for them."""

    name: str
    share: float  # of the users, in (0, 1]
    kind: ArmKind
    version: int | None = None  # of the policy


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Arms that share the users of a service, and the rules that end it."""

    name: str
    key: str  # hex digits; keys the hash of users
    started: int  # µs since 1970
    arms: tuple[Arm, ...]
    shadow: int | None = None  # version of a policy that answers without being shown
    goal: Goal = "click"
    until_evidence: bool = False
    maturity_seconds: int = 3600  # age from which a decision counts towards the goal
    max_drop: float = 0.1  # relative loss of an outcome, or rise of complaints, that ends the experiment
    planned: int | None = None  # decisions after which it ends without evidence

    @property
    def baseline(self) -> int:
        """The index of the arm to compare with: the champion, else the control, else the first one."""
        names = [arm.name for arm in self.arms]
        return next((names.index(name) for name in ("champion", CONTROL) if name in names), 0)

    @property
    def candidates(self) -> list[int]:
        """The indices of the other arms that are policies."""
        return [i for i, arm in enumerate(self.arms) if arm.kind == "policy" and i != self.baseline]

    @property
    def versions(self) -> list[int]:
        """The versions of the policy that it needs."""
        named = {self.shadow, *(arm.version for arm in self.arms)}
        return sorted(version for version in named if version is not None)


class ExperimentEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The start or end of an experiment."""

    at: int  # µs since 1970
    action: Action
    reason: str
    experiment: Experiment


encode_event = msgspec.json.Encoder().encode
decode_event = msgspec.json.Decoder(ExperimentEvent).decode


def find_running(events: Sequence[str]) -> Experiment | None:
    """Return the experiment that was started last, unless it has ended."""
    last = decode_event(events[-1]) if events else None
    return last.experiment if last and last.action == "start" else None


def check_name(name: str, events: Sequence[str]) -> str:
    """
    Return the name of a new experiment. Raises ConfigError unless it is a slug without events.

    Decisions of two experiments with one name could not be told apart in the log.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name!r}: expected a name of at most 63 lower-case letters, digits and hyphens")
    if name in {decode_event(event).experiment.name for event in events}:
        raise ConfigError(f"{name}: an earlier experiment has this name; choose another, such as {name}-2")
    return name


def parse_arms(text: str, find_version: Callable[[str], int]) -> tuple[Arm, ...]:
    """
    Parse arms such as `champion=80,challenger=15,control=5`.

    `find_version` returns the version of an alias or of `v3`. Raises ConfigError.
    """
    arms = tuple(_parse_arm(part, find_version) for part in text.split(","))
    names = [arm.name for arm in arms]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"--arms: {repeated[0]} occurs twice; name each arm once")
    if abs(total := sum(arm.share * 100 for arm in arms) - 100) > 1e-6:
        raise ConfigError(f"--arms: the shares sum to {total + 100:g}, expected 100")
    return arms


def _parse_arm(text: str, find_version: Callable[[str], int]) -> Arm:
    name, _, percent = text.strip().partition("=")
    try:
        share = float(percent) / 100
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ConfigError(f"--arms: {text!r}: expected NAME=PERCENT, such as challenger=15")
    if name in (CONTROL, HOLDOUT):
        return Arm(name, share, "uniform" if name == CONTROL else "no ad")
    if name not in ("champion", "challenger") and not re.fullmatch("v[1-9][0-9]*", name):
        raise ConfigError(f"--arms: {name!r}: no such arm; expected {ARMS}")
    return Arm(name, share, "policy", find_version(name))
