"""Keep the statistics of a decision log, and publish a refreshed policy as the next champion."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adloom.config.audience import GOAL_METRICS, TrainPolicy
from adloom.config.gate import MetricRule
from adloom.config.params import Params
from adloom.context import StageContext
from adloom.errors import ConfigError
from adloom.policy.scorer import Policy
from adloom.registry import pairing
from adloom.registry.base import ModelVersion, Registry, fetch_champion
from adloom.registry.promotion import find_revoked
from adloom.registry.verdict import Outcome, apply_verdict
from adloom.stages.measure import read_card
from adloom.storage import manifest
from adloom.storage.base import ObjectStore, read_object, write_object

if TYPE_CHECKING:
    from adloom.evaluation.metric import Metric
    from adloom.policy.refresh import Refresh
    from adloom.policy.statistics import ImpressionStatistics
    from adloom.policy.traffic import TrafficRules

STATE = "state.json"
REFRESHED_FROM = "refreshed_from"  # tag of a refresh: the champion before it
DEFAULT_PENALTY = 0.1  # where the champion's training compared no linear model


@dataclass(frozen=True)
class RefreshState:
    """The statistics of the segments that were read."""

    statistics: "ImpressionStatistics"
    segments: tuple[str, ...] = ()  # names, of the days that are still listed
    number: int = 0  # of the last commit


@dataclass(frozen=True)
class StateStore:
    """
    The state below `refresh/<project>` of a decision log.

    A commit is one write of state.json, which names the folder of the statistics: a killed run leaves the old state, so
    that no segment counts twice.
    """

    objects: ObjectStore
    project: str

    @property
    def _root(self) -> str:
        return f"refresh/{self.project}"

    def load(self) -> RefreshState:
        """Return the last committed state."""
        from adloom.policy.statistics import ImpressionStatistics

        try:
            state = json.loads(read_object(self.objects, f"{self._root}/{STATE}"))
        except FileNotFoundError:
            return RefreshState(ImpressionStatistics.empty())
        with tempfile.TemporaryDirectory(prefix="adloom-refresh-") as scratch:
            for name in ImpressionStatistics.FILES:
                self.objects.get(f"{self._root}/{state['number']}/{name}", Path(scratch) / name)
            statistics = ImpressionStatistics.load(Path(scratch))
        return RefreshState(statistics, tuple(state["segments"]), state["number"])

    def commit(self, state: RefreshState) -> RefreshState:
        """Replace the state, and return it with its number."""
        number = state.number + 1
        with tempfile.TemporaryDirectory(prefix="adloom-refresh-") as scratch:
            for path in state.statistics.save(Path(scratch)):
                self.objects.put(path, f"{self._root}/{number}/{path.name}")
        content = {"number": number, "segments": state.segments}
        write_object(self.objects, f"{self._root}/{STATE}", json.dumps(content).encode())
        kept = (f"{self._root}/{STATE}", f"{self._root}/{number}/")
        for name in self.objects.list(self._root):
            if not name.startswith(kept):  # the last state's, or left by a killed run
                self.objects.remove(name)
        return replace(state, number=number)


@contextmanager
def open_champion(context: StageContext) -> Iterator[tuple[ModelVersion, Path]]:
    """Provide the champion policy. Raises UserError without one."""
    with tempfile.TemporaryDirectory(prefix="adloom-refresh-") as scratch:
        yield fetch_champion(context.registry, pairing.POLICY, Path(scratch) / "champion")


def find_rules(params: Params) -> "TrafficRules":
    """Return the rules for the traffic that a refresh learns from."""
    from adloom.policy.traffic import TrafficRules

    return TrafficRules(params.prepare.invalid_traffic, params.train_policy.max_user_share)


def refresh(
    champion: ModelVersion, folder: Path, statistics: "ImpressionStatistics", params: Params, context: StageContext
) -> tuple["Refresh", Outcome]:
    """Refresh the champion in a folder from statistics, and publish it if the fast lane of the gate promotes it."""
    from adloom.policy.refresh import Refresh, refresh_policy
    from adloom.policy.rewards import GUARDRAILS, OUTCOMES

    card = read_card(folder)
    if (reward := TrainPolicy.model_validate(card["params"]).reward) == "value":
        raise ConfigError(
            f"policy refresh: the champion, policy {champion.version}, learns from train_policy.reward: value, but a "
            "refresh counts clicks and conversions, not their value; retrain with `adloom run` instead"
        )
    counted = {"impressions": statistics.impressions, OUTCOMES[reward].events: statistics.count(reward)}
    invalid = statistics.find_invalid(find_rules(params))
    statistics = statistics.leave_out(invalid)
    if reason := _explain_nothing_new(champion, card, counted, statistics, reward):
        unchanged = Refresh(Policy.load(folder / "policy.npz"), 0.0, 0.0, 0.0, "hold", [reason])
        return unchanged, Outcome(pairing.POLICY, None, "hold", [reason], champion.version)
    penalty = max((c["penalty"] for c in card["candidates"] if c["penalty"]), default=DEFAULT_PENALTY)
    rules = {rule.metric: rule for rule in params.gate.rules(pairing.POLICY) if rule.metric != GOAL_METRICS[reward]}
    kinds = {OUTCOMES[kind].metric: kind for kind in GUARDRAILS - {reward}}
    guardrails = {kinds[name]: rule.margin or 0.0 for name, rule in rules.items() if name in kinds}
    refreshed = refresh_policy(
        Policy.load(folder / "policy.npz"),
        statistics,
        penalty,
        params.refresh_policy.max_divergence,
        guardrails,
        reward,
    )
    if invalid.any():
        reason = f"leaves out {invalid.sum()} open impressions of robots or of users with too many of the clicks"
        refreshed = replace(refreshed, reasons=[*refreshed.reasons, reason])
    issues = [
        *_check_bars(params.gate.rules(pairing.POLICY), refreshed.metrics),
        *_find_withdrawn(champion, context.registry),
    ]
    if refreshed.verdict == "promote" and issues:
        refreshed = replace(refreshed, verdict="hold", reasons=[*refreshed.reasons, *issues])
    return refreshed, _publish(refreshed, champion, folder, card, counted, params, context)


def _explain_nothing_new(
    champion: ModelVersion,
    card: dict[str, Any],
    counted: dict[str, int],
    statistics: "ImpressionStatistics",
    reward: str,
) -> str:
    """Return why a refresh has nothing to learn, or an empty text."""
    if counted.items() <= card.get("refresh", {}).items():
        return f"nothing new in the log since policy {champion.version} was refreshed"
    from adloom.policy.rewards import OUTCOMES

    if not 0 < (rewarded := statistics.count(reward)) < statistics.impressions:
        counts = f"{rewarded} of {statistics.impressions} impressions have {OUTCOMES[reward].events}"
        return f"nothing to learn yet: {counts}, expected some but not all"
    return ""


def _check_bars(rules: list[MetricRule], measured: "Mapping[str, Metric]") -> list[str]:
    """Return the bars that a refresh misses, and the metrics that it does not measure."""
    from adloom.evaluation.gate import decide

    bars = [rule for rule in rules if rule.has_bar and rule.metric in measured]
    missed = [str(reason) for reason in decide(measured, None, bars).reasons if reason.verdict != "promote"]
    names = ", ".join(sorted({rule.metric for rule in rules} - measured.keys()))
    unmeasured = f"gate.policy has {names}, which a refresh cannot measure; `adloom run` measures them"
    return [*missed, *([unmeasured] if names else [])]


def _find_withdrawn(champion: ModelVersion, registry: Registry) -> list[str]:
    """Return a reason per refresh that a person withdrew and that no newer champion has followed."""
    refreshes = {version.version for version in registry.versions(pairing.POLICY) if REFRESHED_FROM in version.tags}
    revoked = find_revoked(registry.alias_events(pairing.POLICY))
    return [
        f"policy {number}, a refresh, was withdrawn by a person ({reason}); `adloom promote policy {number}` or the "
        "promotion of a new training allows refreshes again"
        for number, reason in revoked.items()
        if number in refreshes and number >= champion.version
    ]


def _publish(
    refreshed: "Refresh",
    champion: ModelVersion,
    folder: Path,
    card: dict[str, object],
    counted: dict[str, int],
    params: Params,
    context: StageContext,
) -> Outcome:
    """Register the policy and move the aliases as the verdict says; one that is not promoted is not registered."""
    if refreshed.verdict != "promote" or not refreshed.step:
        return Outcome(pairing.POLICY, None, refreshed.verdict, refreshed.reasons, champion.version)
    target = folder.with_name("policy")
    trained = TrainPolicy.model_validate(card["params"])
    with manifest.draft(target, "train_policy", trained, {"champion": folder}) as draft:
        refreshed.policy.save(draft.path / "policy.npz")
        facts = {"champion": champion.version, "step": refreshed.step, "divergence": refreshed.divergence, **counted}
        draft.facts.update(manifest.read(folder).facts)
        draft.write_json("history.json", {"lift": [[0, refreshed.lift]]})
        draft.describe({**card, "features": refreshed.policy.features, "refresh": facts}, trained)
    tags = {
        **{name: champion.tags[name] for name in (pairing.AUDIENCE_TAG, "dataset_digest") if name in champion.tags},
        "params_digest": manifest.read(target).params,
        "numbers": json.dumps({"lift": refreshed.lift, "divergence": refreshed.divergence}),
        "verdict": refreshed.verdict,
        "reasons": json.dumps(refreshed.reasons, ensure_ascii=False),
        REFRESHED_FROM: str(champion.version),
    }
    version = context.registry.register(pairing.POLICY, target, tags)
    return apply_verdict(
        context.registry, version, refreshed.verdict, refreshed.reasons, champion, approve=params.gate.approve
    )
