"""Outcomes of impressions: what a policy learns from, and what guards it."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, BoolArray, Float64Array
from adloom.config.audience import GOAL_METRICS

VALUE_QUANTILE = 0.99  # of the calibration period's values; larger ones count as this one
COST = "cost"  # column that SPEND_SHARE weighs by
SPEND_SHARE = "spend_share"  # metric: the largest share of the spend that one creative gets


@dataclass(frozen=True)
class OutcomeKind:
    """A kind of outcome, and its names in reports."""

    column: str  # of impressions
    metric: str
    title: str
    events: str  # plural
    moments: tuple[str, ...] = ()  # columns of its time; the first known one counts
    less_is_better: bool = False


OUTCOMES = {
    "click": OutcomeKind("clicked", GOAL_METRICS["click"], "Click rates", "clicks", ("outcome_at",)),
    "conversion": OutcomeKind(
        "conversions", GOAL_METRICS["conversion"], "Conversion rates", "conversions", ("conversion_at", "outcome_at")
    ),
    "value": OutcomeKind("value", GOAL_METRICS["value"], "Values", "value", ("conversion_at", "outcome_at")),
    "complaint": OutcomeKind("complaints", "complaint_rate", "Complaint rates", "complaints", less_is_better=True),
}
GUARDRAILS = {"click", "conversion", "complaint"}  # measured in addition to the reward


@dataclass(frozen=True)
class RewardRule:
    """The outcome that is the reward, and when it counts."""

    kind: str = "click"
    window: timedelta | None = None  # in which outcomes count; the maturity by default
    guardrails: bool = False  # whether to read other outcomes and costs, too

    @property
    def others(self) -> set[str]:
        """The outcomes other than the reward."""
        return {*GUARDRAILS, COST} - {self.kind} if self.guardrails else set()

    def find_window(self, maturity: pd.Timedelta) -> pd.Timedelta:
        """Return the window."""
        return maturity if self.window is None else pd.Timedelta(self.window)

    def read_other(self, rows: pd.DataFrame, name: str, maturity: pd.Timedelta) -> Float64Array:
        """Return another outcome than the reward, or the costs (rows,)."""
        if name == COST:
            return rows[COST].fillna(0).to_numpy(float)
        return read_outcome(rows, name, self.find_window(maturity))[0]


CLICKS = RewardRule()


def find_known_outcomes(rows: pd.DataFrame) -> set[str]:
    """Return the outcomes, and COST, that impressions have; of aggregated ones, only clicks are known by impression."""
    columns = {kind: outcome.column for kind, outcome in OUTCOMES.items()} | {COST: COST}
    known = {name for name, column in columns.items() if column in rows and rows[column].notna().any()}
    return known & {"click"} if "weight" in rows and (rows["weight"] > 1).any() else known


def read_outcome(rows: pd.DataFrame, kind: str, window: pd.Timedelta) -> tuple[Float64Array, BoolArray]:
    """Return each impression's outcome within a time window (rows,), and whether one came later (rows,)."""
    outcome = OUTCOMES[kind]
    values = pd.to_numeric(rows.get(outcome.column, pd.Series(0.0, rows.index))).astype("Float64").fillna(0)
    amounts = values.to_numpy(np.float64) if kind == "value" else (values > 0).to_numpy(np.float64)
    is_late = _is_after(rows, outcome, window) & (amounts > 0)
    return np.where(is_late, 0.0, amounts), is_late


def _is_after(rows: pd.DataFrame, outcome: OutcomeKind, window: pd.Timedelta) -> BoolArray:
    """Return whether each impression's outcome is known to have come after the window."""
    moments = [rows[name] for name in outcome.moments if name in rows]
    if not moments:
        return np.zeros(len(rows), bool)
    moment = moments[0] if len(moments) == 1 else moments[0].fillna(moments[1])
    return (moment > rows["timestamp"] + window).fillna(False).to_numpy(bool)


def find_value_cap(rewards: Float64Array) -> float:
    """Return the cap of values: VALUE_QUANTILE of those above 0, a value that occurs."""
    above = rewards[rewards > 0]
    return float(np.quantile(above, VALUE_QUANTILE, method="lower")) if len(above) else 1.0


def share_above(rewards: Float64Array, weight: AnyArray, cap: float) -> float:
    """Return the share of the value that a cap cuts off."""
    total = float((rewards * weight).sum())
    return 1 - float((rewards.clip(max=cap) * weight).sum()) / total if total else 0.0
