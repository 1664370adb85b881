"""The impressions of a policy, with the segments of their users."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from adloom.config.audience import TrainPolicy
from adloom.errors import DataError
from adloom.storage import manifest

if TYPE_CHECKING:
    import pandas as pd

    from adloom.policy.impressions import ExclusionCounts, Impressions


def read_impressions(
    table: Path,
    audience: Path | None,
    split: str,
    params: TrainPolicy,
    value_cap: float | None = None,
    guardrails: bool = False,
) -> "tuple[Impressions, ExclusionCounts]":
    """
    Read the impressions of a period in chunks, and cap values and users; without an audience, users have no segment.

    `value_cap` is the cap that the calibration period set.
    """
    import pandas as pd

    from adloom.audience.segment_index import SegmentIndex
    from adloom.policy import impressions, rewards
    from adloom.policy.propensity_model import estimate_propensities
    from adloom.policy.user_cap import cap_users
    from adloom.storage import parquet

    has_audience = audience is not None and not manifest.skip_reason(audience)
    invalid: Counter[str] = Counter()
    index = SegmentIndex.load(audience / "members.npz") if audience and has_audience else None

    def read(columns: Sequence[str] | None) -> "Iterator[pd.DataFrame]":
        for rows in parquet.read_chunks(table, columns=columns, split=split):
            if columns:
                yield rows
                continue
            if "invalid" in rows:
                invalid.update(rows["invalid_reason"].dropna())
            people = rows[~rows["invalid"].astype(bool)] if "invalid" in rows else rows
            if index is None:
                yield people
            else:
                segment = index.find(people["user_id"].fillna("").astype(str).tolist())
                yield people.assign(segment=pd.Series(segment, people.index, "str"))

    window = None if params.attribution_hours is None else timedelta(hours=params.attribution_hours)
    rule = rewards.RewardRule(params.reward, window, guardrails)
    with _explain_marks(invalid):
        data, counts = impressions.read_impressions(read, timedelta(hours=params.maturity_hours), rule)
    if data.propensity_estimated.any():
        data = estimate_propensities(data, params.seed)
        counts = replace(counts, propensity_estimated=data.count)
    if params.reward == "value":
        cap = params.max_value or value_cap or rewards.find_value_cap(data.reward)
        counts = replace(counts, capped_value=rewards.share_above(data.reward, data.weight, cap))
        data = data.cap_values(cap)
    data, capped = cap_users(data, params.max_user_share)
    return data, replace(counts, capped_users=capped, invalid=dict(invalid))


@contextmanager
def _explain_marks(invalid: Counter[str]) -> Iterator[None]:
    """Add the numbers of marked rows to a DataError."""
    try:
        yield
    except DataError as error:
        marked = ", ".join(f"{reason} {count}" for reason, count in sorted(invalid.items()))
        raise DataError(f"{error}; prepare.invalid_traffic marked {marked}" if marked else str(error)) from None
