"""Popularity: the items with the most users, overall or in a segment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from adloom.arrays import Float32Array, Int32Array, StrArray
from adloom.recommendation.interactions import Interactions

PRIOR = 100  # users of the overall popularity that are added to a segment's own


@dataclass(frozen=True)
class Popularity:
    """The share of users with each item."""

    share: Float32Array  # (items,)
    segments: StrArray  # (segments,)
    of_segment: Float32Array  # (segments, items)

    @classmethod
    def fit(cls, interactions: Interactions, segment: Sequence[str | None] = ()) -> Self:
        """Count users, overall and in the segment of each user (users,)."""
        matrix = interactions.to_matrix()
        share = np.asarray(matrix.sum(axis=0), np.float64)[0] / max(len(interactions.users), 1)
        labels = np.array(["" if name is None else name for name in segment], str)
        names = np.unique(labels[labels != ""])
        own = [np.asarray(matrix[labels == name].sum(axis=0), np.float64)[0] for name in names]
        users = [int((labels == name).sum()) for name in names]
        of_segment = [(count + PRIOR * share) / (n + PRIOR) for count, n in zip(own, users, strict=True)]
        rows = np.array(of_segment, np.float32).reshape(len(names), len(share))
        return cls(share.astype(np.float32), names, rows)

    def score(self, histories: Sequence[Int32Array]) -> Float32Array:
        """Return the shares after any history (histories, items)."""
        return np.broadcast_to(self.share, (len(histories), len(self.share)))

    def score_segment(self, segment: str | None) -> Float32Array:
        """Return the shares in a segment (items,); the overall ones for an unknown segment."""
        known = self.segments.tolist()
        return self.of_segment[known.index(segment)] if segment in known else self.share

    def to_arrays(self) -> Mapping[str, Float32Array | StrArray]:
        """Return the arrays of a file."""
        return {"share": self.share, "segments": self.segments, "of_segment": self.of_segment}
