"""A user's own log, a table of (context, action, reward, propensity) under any names: what a policy is worth on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray
from adloom.errors import DataError
from adloom.policy.ope import estimators, reward_model
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.support import Support, measure_support

Policy = Callable[[pd.DataFrame, tuple[str, ...]], AnyArray]  # rows and actions → probabilities (rows, actions)
CLIP_WEIGHT = 20.0  # weight at which the clipped estimate cuts


@dataclass(frozen=True)
class LogColumns:
    """What the columns of a log are called."""

    action: str
    reward: str
    propensity: str
    context: tuple[str, ...] = ()  # what the reward model tells situations apart by; the policy sees every column
    place: str | None = None  # within which support is asked for, such as the placement


@dataclass(frozen=True)
class LogEvaluation:
    """What a policy is estimated to earn per row of a log, by every estimator, and what the log cannot say."""

    estimates: Mapping[str, Estimate]  # direct, ips, snips, clipped_ips, doubly_robust
    logged: Estimate  # the log's own mean reward
    support: Support
    left_out: Mapping[str, int] = field(default_factory=dict)  # rows by reason


def evaluate_log(
    frame: pd.DataFrame,
    columns: LogColumns,
    policy: Policy,
    actions: Sequence[str] | None = None,
    clip: float = CLIP_WEIGHT,
) -> LogEvaluation:
    """
    Return what a policy would have earned on a log.

    `actions` are all that the policy may take (default: those in the log). A row without an action, with a reward that
    is no finite number or with a propensity outside (0, 1] is left out and counted by its reason. The direct and the
    doubly robust estimate use rates by context and action, cross-fitted. Raises DataError when a column is missing, no
    row is left, the log has an action that is not in `actions`, or the policy returns no probabilities.
    """
    _require_columns(frame, columns)
    reasons = _exclusion_reasons(frame, columns)
    rows = frame[reasons == ""].reset_index(drop=True)
    counts = reasons[reasons != ""].value_counts()
    left_out = {str(reason): int(count) for reason, count in sorted(counts.items(), key=lambda item: str(item[0]))}
    if rows.empty:
        raise DataError(
            f"log: no row is left of {len(frame)}: {left_out or 'it is empty'}; bring a log with propensities"
        )
    names = _action_names(rows[columns.action].astype(str), actions)
    probabilities = _policy_probabilities(policy, rows, names)
    return _estimate_all(rows, columns, names, probabilities, left_out, clip)


def _estimate_all(
    rows: pd.DataFrame,
    columns: LogColumns,
    names: tuple[str, ...],
    probabilities: AnyArray,
    left_out: Mapping[str, int],
    clip: float,
) -> LogEvaluation:
    action = pd.Categorical(rows[columns.action].astype(str), categories=list(names)).codes.astype(np.int64)
    reward, propensity = (_to_floats(rows[name]).to_numpy() for name in (columns.reward, columns.propensity))
    place = None if columns.place is None else reward_model.cell_indices(rows[[columns.place]])
    found = measure_support(action, probabilities, names, place)
    target, lost = probabilities[np.arange(len(rows)), action], found.unsupported
    rates = reward_model.Rates(reward_model.cell_indices(rows[list(columns.context)]), action, reward, len(names))
    predicted = reward_model.cross_fit(rates, len(rows), len(names))
    estimates = {
        "direct": estimators.direct(predicted, probabilities),
        "ips": estimators.ips(reward, propensity, target, lost),
        "snips": estimators.snips(reward, propensity, target, lost),
        "clipped_ips": estimators.clipped_ips(reward, propensity, target, clip, lost),
        "doubly_robust": estimators.doubly_robust(reward, propensity, action, probabilities, predicted, lost),
    }
    return LogEvaluation(estimates, estimators.ips(reward, propensity, propensity), found, left_out)


def _require_columns(frame: pd.DataFrame, columns: LogColumns) -> None:
    named = {"action": columns.action, "reward": columns.reward, "propensity": columns.propensity}
    named |= {f"context {name}": name for name in columns.context}
    named |= {"place": columns.place} if columns.place is not None else {}
    absent = [f"{theirs!r} for {ours}" for ours, theirs in named.items() if theirs not in frame]
    if absent:
        raise DataError(f"log: no column {', '.join(absent)}; found {', '.join(map(str, frame.columns))}")


def _exclusion_reasons(frame: pd.DataFrame, columns: LogColumns) -> pd.Series:
    """Return per row why it cannot be used, "" when it can."""
    reward, propensity = (_to_floats(frame[name]) for name in (columns.reward, columns.propensity))
    reasons = pd.Series("", frame.index)
    for bad, reason in (
        (frame[columns.action].isna(), f"{columns.action}: missing"),
        (~np.isfinite(reward), f"{columns.reward}: not a finite number"),
        (~((propensity > 0) & (propensity <= 1)), f"{columns.propensity}: not in (0, 1]"),
    ):
        reasons = reasons.mask((reasons == "") & bad, reason)
    return reasons


def _to_floats(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").astype("float64")


def _action_names(taken: pd.Series, actions: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(sorted(set(taken))) if actions is None else tuple(actions)
    if unknown := sorted(set(taken) - set(names)):
        raise DataError(f"actions: the log took {unknown[0]!r} (and {len(unknown) - 1} more), which is not one of them")
    return names


def _policy_probabilities(policy: Policy, rows: pd.DataFrame, names: tuple[str, ...]) -> AnyArray:
    probabilities = np.asarray(policy(rows, names), np.float64)
    if probabilities.shape != (len(rows), len(names)):
        raise DataError(f"policy: shape {probabilities.shape}, expected {(len(rows), len(names))}: rows, actions")
    return probabilities
