"""Evaluate a policy on any table of contexts, actions, rewards and propensities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray
from adloom.errors import DataError
from adloom.policy.ope import estimators, reward_model
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.support import Support, measure_support

Policy = Callable[[pd.DataFrame, tuple[str, ...]], AnyArray]  # (rows, actions) → probabilities (rows, actions)
CLIP_WEIGHT = 20.0  # weight limit of the clipped estimate


@dataclass(frozen=True)
class LogColumns:
    """Column names of a log."""

    action: str
    reward: str
    propensity: str
    context: tuple[str, ...] = ()  # context columns of the reward model; the policy sees all columns
    support_within: str | None = None  # column within which support is checked, such as the placement


@dataclass(frozen=True)
class LogEvaluation:
    """A policy's value by every estimator, and its support."""

    estimates: Mapping[str, Estimate]  # direct, ips, snips, clipped_ips, doubly_robust
    logged: Estimate  # the log's own mean reward
    support: Support
    excluded: Mapping[str, int] = field(default_factory=dict)  # rows by reason


def evaluate_log(
    frame: pd.DataFrame,
    columns: LogColumns,
    policy: Policy,
    actions: Sequence[str] | None = None,
    clip: float = CLIP_WEIGHT,
) -> LogEvaluation:
    """
    Estimate a policy's value on a log.

    `actions` defaults to the log's. Rows without action, finite reward or valid propensity are excluded and counted.
    Raises DataError for an unusable log or invalid probabilities.
    """
    _require_columns(frame, columns)
    reasons = _exclusion_reasons(frame, columns)
    rows = frame[reasons == ""].reset_index(drop=True)
    counts = reasons[reasons != ""].value_counts()
    excluded = {str(reason): int(count) for reason, count in sorted(counts.items(), key=lambda item: str(item[0]))}
    if rows.empty:
        raise DataError(f"log: 0 of {len(frame)} rows usable: {excluded or 'no rows'}; use a log with propensities")
    names = _action_names(rows[columns.action].astype(str), actions)
    probabilities = _policy_probabilities(policy, rows, names)
    return _estimate_all(rows, columns, names, probabilities, excluded, clip)


def _estimate_all(
    rows: pd.DataFrame,
    columns: LogColumns,
    names: tuple[str, ...],
    probabilities: AnyArray,
    excluded: Mapping[str, int],
    clip: float,
) -> LogEvaluation:
    action = pd.Categorical(rows[columns.action].astype(str), categories=list(names)).codes.astype(np.int64)
    reward, propensity = (_to_floats(rows[name]).to_numpy() for name in (columns.reward, columns.propensity))
    group = None if columns.support_within is None else reward_model.cell_indices(rows[[columns.support_within]])
    support = measure_support(action, probabilities, names, group)
    target, unsupported = probabilities[np.arange(len(rows)), action], support.unsupported
    rates = reward_model.Rates(reward_model.cell_indices(rows[list(columns.context)]), action, reward, len(names))
    predicted = reward_model.cross_fit(rates, len(rows), len(names))
    estimates = {
        "direct": estimators.direct(predicted, probabilities),
        "ips": estimators.ips(reward, propensity, target, unsupported),
        "snips": estimators.snips(reward, propensity, target, unsupported),
        "clipped_ips": estimators.clipped_ips(reward, propensity, target, clip, unsupported),
        "doubly_robust": estimators.doubly_robust(reward, propensity, action, probabilities, predicted, unsupported),
    }
    return LogEvaluation(estimates, estimators.ips(reward, propensity, propensity), support, excluded)


def _require_columns(frame: pd.DataFrame, columns: LogColumns) -> None:
    required = {"action": columns.action, "reward": columns.reward, "propensity": columns.propensity}
    required |= {f"context {name}": name for name in columns.context}
    required |= {"support_within": columns.support_within} if columns.support_within is not None else {}
    missing = [f"{column!r} for {role}" for role, column in required.items() if column not in frame]
    if missing:
        raise DataError(f"log: no column {', '.join(missing)}; columns: {', '.join(map(str, frame.columns))}")


def _exclusion_reasons(frame: pd.DataFrame, columns: LogColumns) -> pd.Series:
    """Return per row why it is excluded, or ""."""
    reward, propensity = (_to_floats(frame[name]) for name in (columns.reward, columns.propensity))
    reasons = pd.Series("", frame.index)
    for is_invalid, reason in (
        (frame[columns.action].isna(), f"{columns.action}: missing"),
        (~np.isfinite(reward), f"{columns.reward}: not a finite number"),
        (~((propensity > 0) & (propensity <= 1)), f"{columns.propensity}: not in (0, 1]"),
    ):
        reasons = reasons.mask((reasons == "") & is_invalid, reason)
    return reasons


def _to_floats(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").astype("float64")


def _action_names(logged: pd.Series, actions: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(sorted(set(logged))) if actions is None else tuple(actions)
    if unknown := sorted(set(logged) - set(names)):
        raise DataError(f"actions: missing {unknown[0]!r} (and {len(unknown) - 1} more), which the log has")
    return names


def _policy_probabilities(policy: Policy, rows: pd.DataFrame, names: tuple[str, ...]) -> AnyArray:
    probabilities = np.asarray(policy(rows, names), np.float64)
    if probabilities.shape != (len(rows), len(names)):
        raise DataError(f"policy: shape {probabilities.shape}, expected {(len(rows), len(names))}: rows, actions")
    return probabilities
