"""The impressions of a policy, with the segments of their users."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from adloom.storage import manifest

if TYPE_CHECKING:
    import pandas as pd

    from adloom.policy.impressions import ExclusionCounts, Impressions


def read_impressions(
    table: Path, audience: Path | None, split: str, maturity_hours: float
) -> "tuple[Impressions, ExclusionCounts]":
    """Read the impressions of a period; without an audience, users have no segment."""
    from adloom.policy import impressions
    from adloom.storage import parquet

    rows = parquet.read(table, split)
    return impressions.read_impressions(
        rows, _find_segments(rows["user_id"], audience), timedelta(hours=maturity_hours)
    )


def _find_segments(users: "pd.Series", audience: Path | None) -> list[str | None]:
    from adloom.audience.segment_index import SegmentIndex

    if audience is None or manifest.skip_reason(audience):
        return [None] * len(users)
    return SegmentIndex.load(audience / "members.npz").find(users.fillna("").astype(str).tolist())
