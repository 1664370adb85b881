"""The features of impressions: contexts, creatives shown, and predicted clicks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, BoolArray, Float64Array
from adloom.data.context import PREFIX
from adloom.drift.click_rate import ClickRates, measure_click_rates, predict_clicks
from adloom.drift.features import Feature, FeatureSample, Kind
from adloom.policy.impressions import LOGGED_SEGMENT

TABLE = "impressions"
CONTEXTS = ("placement", "position")
MAX_CELLS = 200  # combinations of contexts in the click model
MAX_ROWS = 100_000  # of a period; users beyond are left out at random
POLICY_CHANGED = "another policy decided"


@dataclass(frozen=True)
class ImpressionPeriod:
    """The impressions of a period."""

    rows: pd.DataFrame
    cluster: AnyArray  # (rows,) number of the user
    weight: Float64Array  # (rows,) impressions that the row stands for

    def sample(self, values: AnyArray) -> FeatureSample:
        """Return values (rows,) of the impressions."""
        return FeatureSample(values, self.cluster, self.weight)

    def select(self, rows: BoolArray) -> "ImpressionPeriod":
        """Return the selected rows."""
        return ImpressionPeriod(self.rows[rows].reset_index(drop=True), self.cluster[rows], self.weight[rows])

    def names(self, column: str) -> FeatureSample:
        """Return a column as names; missing ones are empty."""
        values = self.rows[column] if column in self.rows else pd.Series("", self.rows.index)
        return self.sample(values.astype("str").fillna("").to_numpy(object))


def read_period(chunks: Iterable[pd.DataFrame], total: int) -> ImpressionPeriod:
    """Return the impressions of at most about MAX_ROWS rows, with all rows of each user, without marked rows."""
    share, parts, start = min(MAX_ROWS / max(total, 1), 1.0), [], 0
    for chunk in chunks:
        cluster = _hash_users(chunk, start)
        start += len(chunk)
        chosen = cluster / 2**64 < share
        if "invalid" in chunk:
            chosen &= ~chunk["invalid"].fillna(False).to_numpy(bool)
        parts.append((chunk[chosen], cluster[chosen]))
    rows = pd.concat([rows for rows, _ in parts], ignore_index=True)
    weight = rows["weight"].fillna(1).to_numpy(float) if "weight" in rows else np.ones(len(rows))
    return ImpressionPeriod(rows, np.concatenate([cluster for _, cluster in parts]), weight)


def build_features(
    reference: ImpressionPeriod, current: ImpressionPeriod, maturity: pd.Timedelta
) -> tuple[list[Feature], ClickRates | None]:
    """Return the features of two periods, and their click rates if the reference has clicks."""
    names = [n for n in map(str, reference.rows) if n in CONTEXTS or n.startswith(PREFIX)]
    policy = _explain_policy(reference, current)
    features = [
        _name_feature(name, "segments" if name == LOGGED_SEGMENT else "feature", reference, current) for name in names
    ]
    features.append(_name_feature("creative_id", "shown", reference, current, policy))
    clicks, is_mature = _read_clicks(reference, maturity)
    known, clicks = reference.select(is_mature), clicks.select(is_mature)
    if not clicks.values.any() or len(np.unique(known.cluster)) < 2:  # another user judges the predictions
        return features, None
    contexts = _choose_contexts(known, names)
    predictions = predict_clicks(
        (_select_contexts(known, contexts), _select_contexts(current, contexts)),
        (known.names("creative_id").values, current.names("creative_id").values),
        clicks,
    )
    predicted = known.sample(predictions.reference), current.sample(predictions.current)
    features.append(Feature(TABLE, "predicted click rate", "prediction", *predicted, policy))
    return features, measure_click_rates(predictions, clicks, *_read_clicks(current, maturity))


def _name_feature(
    name: str, kind: Kind, reference: ImpressionPeriod, current: ImpressionPeriod, explanation: str = ""
) -> Feature:
    return Feature(TABLE, name, kind, reference.names(name), current.names(name), explanation)


def _choose_contexts(reference: ImpressionPeriod, names: Sequence[str]) -> list[str]:
    """Return as many of the contexts, placement and segment first, as have at most MAX_CELLS combinations."""
    first = [name for name in ("placement", LOGGED_SEGMENT) if name in names]
    chosen: list[str] = []
    for name in [*first, *(name for name in names if name not in first)]:
        if len(reference.rows[[*chosen, name]].drop_duplicates()) <= MAX_CELLS:
            chosen.append(name)
    return chosen


def _select_contexts(period: ImpressionPeriod, names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({name: period.names(name).values for name in names}, period.rows.index)


def _read_clicks(period: ImpressionPeriod, maturity: pd.Timedelta) -> tuple[FeatureSample, BoolArray]:
    """Return whether each impression was clicked in time, and whether its clicks had time to arrive."""
    rows = period.rows
    if "clicked" not in rows or rows.empty:
        return period.sample(np.zeros(len(rows))), np.zeros(len(rows), bool)
    clicked = rows["clicked"].fillna(False).to_numpy(bool)
    if "outcome_at" in rows:
        clicked = clicked & ~(rows["outcome_at"] > rows["timestamp"] + maturity).fillna(False).to_numpy(bool)
    is_mature = (rows["timestamp"] + maturity <= rows["timestamp"].max()).to_numpy(bool)
    return period.sample(clicked.astype(float)), is_mature & rows["clicked"].notna().to_numpy(bool)


def _explain_policy(reference: ImpressionPeriod, current: ImpressionPeriod) -> str:
    """Return why other creatives are shown, if another policy decided."""
    old, new = ({*period.names("logging_policy").values} for period in (reference, current))
    return "" if old == new else POLICY_CHANGED


def _hash_users(rows: pd.DataFrame, start: int) -> AnyArray:
    """Return a number per user; a row of an unknown user has its own."""
    own = pd.util.hash_array(np.arange(start, start + len(rows)).astype(str).astype(object))
    if "user_id" not in rows:
        return own
    users = pd.util.hash_array(rows["user_id"].astype("str").to_numpy(object))
    return np.where(rows["user_id"].isna(), own, users)
