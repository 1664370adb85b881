"""Evaluate a policy on any table of contexts, actions, rewards and propensities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, Int64Array
from adloom.errors import DataError
from adloom.policy.ope import estimators, reward_model
from adloom.policy.ope.clusters import Clusters
from adloom.policy.ope.estimate import Estimate
from adloom.policy.ope.reward_model import CrossFit
from adloom.policy.ope.support import Support
from adloom.policy.ope.terms import Log, PolicyTerms, ProbabilityBatch, collect_terms
from adloom.policy.propensity_model import estimate_in_log

Policy = Callable[[pd.DataFrame, tuple[str, ...]], AnyArray]  # (some rows, actions) → probabilities (rows, actions)
CLIP_WEIGHT = 20.0  # weight limit of the clipped estimate
MAX_CELLS = 2**22  # rows times actions that a policy is asked for at once


@dataclass(frozen=True)
class LogColumns:
    """Column names of a log."""

    action: str
    reward: str
    propensity: str | None = None  # None estimates propensities from the context columns
    context: tuple[str, ...] = ()  # context columns of the reward model; the policy sees all columns
    support_within: str | None = None  # column within which support is checked, such as the placement
    user: str | None = None  # column of the user; rows of one user are not independent
    weight: str | None = None  # column of the number of impressions that the row stands for


@dataclass(frozen=True)
class LogEvaluation:
    """A policy's value by every estimator, and its terms per row."""

    estimates: Mapping[str, Estimate]  # direct, ips, snips, clipped_ips, doubly_robust
    logged: Estimate  # the log's own mean reward
    terms: PolicyTerms
    predicted: AnyArray  # (rows,) reward of the logged action, by the reward model
    excluded: Mapping[str, int] = field(default_factory=dict)  # rows by reason

    def scale(self, unit: float) -> Self:
        """Return the evaluation in other units: `unit` is the worth of a reward of 1."""
        estimates = {name: estimate.scale(unit) for name, estimate in self.estimates.items()}
        return replace(self, estimates=estimates, logged=self.logged.scale(unit))

    @property
    def support(self) -> Support:
        """The policy's actions that the log lacks."""
        return self.terms.support


def evaluate_log(
    frame: pd.DataFrame,
    columns: LogColumns,
    policy: Policy,
    actions: Sequence[str] | None = None,
    clip: float = CLIP_WEIGHT,
) -> LogEvaluation:
    """
    Estimate a policy's value on a log.

    `actions` defaults to the log's; the policy is called for some rows at a time. Rows without action, finite reward or
    valid propensity are excluded and counted. With estimated propensities, only `doubly_robust` is estimated. Raises
    DataError for an unusable log or invalid probabilities.
    """
    _require_columns(frame, columns)
    reasons = _exclusion_reasons(frame, columns)
    rows = frame[reasons == ""].reset_index(drop=True)
    counts = reasons[reasons != ""].value_counts()
    excluded = {str(reason): int(count) for reason, count in sorted(counts.items(), key=lambda item: str(item[0]))}
    if rows.empty:
        raise DataError(f"log: 0 of {len(frame)} rows usable: {excluded or 'no rows'}; use a log with propensities")
    names = _action_names(rows[columns.action].astype(str), actions)
    return estimate_all(*_evaluate_policy(_to_log(rows, columns, names), rows, policy), excluded, clip)


def estimate_all(
    log: Log,
    terms: PolicyTerms,
    predicted: CrossFit,
    excluded: Mapping[str, int] | None = None,
    clip: float = CLIP_WEIGHT,
) -> LogEvaluation:
    """Return a policy's value by every estimator from its terms."""
    columns, shared = (log.reward, log.propensity, terms.target), (terms.support.unsupported, log.clusters)
    of_logged = predicted.predict(log.action)
    best = estimators.doubly_robust(*columns, of_logged, terms.expected, *shared, log.propensity_estimated)
    others = {
        "direct": estimators.direct(terms.expected, log.clusters),
        "ips": estimators.ips(*columns, *shared),
        "snips": estimators.snips(*columns, *shared),
        "clipped_ips": estimators.clipped_ips(*columns, clip, *shared),
    }
    estimates = {**({} if log.propensity_estimated else others), "doubly_robust": best}
    logged = estimators.ips(log.reward, log.propensity, log.propensity, 0.0, log.clusters)
    return LogEvaluation(estimates, logged, terms, of_logged, excluded or {})


def _to_log(rows: pd.DataFrame, columns: LogColumns, names: tuple[str, ...]) -> Log:
    zeros = np.zeros(len(rows), np.int64)
    action = pd.Categorical(rows[columns.action].astype(str), categories=list(names)).codes.astype(np.int64)
    log = Log(
        names,
        action,
        _to_floats(rows[columns.reward]).to_numpy(),
        np.ones(len(rows)) if columns.propensity is None else _to_floats(rows[columns.propensity]).to_numpy(),
        reward_model.cell_indices(rows[list(columns.context)]),
        zeros if columns.support_within is None else reward_model.cell_indices(rows[[columns.support_within]]),
        Clusters(
            _weights(rows, columns).to_numpy(),
            zeros - 1 if columns.user is None else pd.factorize(rows[columns.user])[0],
        ),
    )
    return log if columns.propensity else estimate_in_log(log, rows[list(columns.context)])


def _evaluate_policy(log: Log, rows: pd.DataFrame, policy: Policy) -> tuple[Log, PolicyTerms, CrossFit]:
    predicted = reward_model.cross_fit(log.rates, clusters=log.clusters)
    step = max(MAX_CELLS // len(log.actions), 1)
    parts = (np.arange(start, min(start + step, len(rows))) for start in range(0, len(rows), step))
    batches = (_batch_probabilities(policy, rows.iloc[part], part, log.actions) for part in parts)
    return log, collect_terms(log, batches, predicted), predicted


def _batch_probabilities(
    policy: Policy, rows: pd.DataFrame, part: Int64Array, names: tuple[str, ...]
) -> ProbabilityBatch:
    """Return a policy's probabilities of all actions; each row is a context."""
    probabilities = np.asarray(policy(rows, names), np.float64)
    if probabilities.shape != (len(rows), len(names)):
        raise DataError(f"policy: shape {probabilities.shape}, expected {(len(rows), len(names))}: rows, actions")
    context, actions = np.arange(len(rows)), np.tile(np.arange(len(names)), len(rows))
    return ProbabilityBatch(part, context, np.arange(len(rows) + 1) * len(names), actions, probabilities.ravel())


def _require_columns(frame: pd.DataFrame, columns: LogColumns) -> None:
    required = {"action": columns.action, "reward": columns.reward}
    required |= {} if columns.propensity is None else {"propensity": columns.propensity}
    required |= {f"context {name}": name for name in columns.context}
    required |= {"support_within": columns.support_within} if columns.support_within is not None else {}
    required |= {name: column for name in ("user", "weight") if (column := getattr(columns, name)) is not None}
    missing = [f"{column!r} for {role}" for role, column in required.items() if column not in frame]
    if missing:
        raise DataError(f"log: no column {', '.join(missing)}; columns: {', '.join(map(str, frame.columns))}")


def _exclusion_reasons(frame: pd.DataFrame, columns: LogColumns) -> pd.Series:
    """Return per row why it is excluded, or ""."""
    reward = _to_floats(frame[columns.reward])
    known = columns.propensity is not None
    propensity = _to_floats(frame[columns.propensity]) if known else pd.Series(1.0, frame.index)
    reasons = pd.Series("", frame.index)
    for is_invalid, reason in (
        (frame[columns.action].isna(), f"{columns.action}: missing"),
        (~np.isfinite(reward), f"{columns.reward}: not a finite number"),
        (~((propensity > 0) & (propensity <= 1)), f"{columns.propensity}: not in (0, 1]"),
        (~(_weights(frame, columns) > 0), f"{columns.weight}: not above 0"),
    ):
        reasons = reasons.mask((reasons == "") & is_invalid, reason)
    return reasons


def _weights(frame: pd.DataFrame, columns: LogColumns) -> pd.Series:
    return pd.Series(1.0, frame.index) if columns.weight is None else _to_floats(frame[columns.weight])


def _to_floats(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").astype("float64")


def _action_names(logged: pd.Series, actions: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(sorted(set(logged))) if actions is None else tuple(actions)
    if unknown := sorted(set(logged) - set(names)):
        raise DataError(f"actions: missing {unknown[0]!r} (and {len(unknown) - 1} more), which the log has")
    return names
