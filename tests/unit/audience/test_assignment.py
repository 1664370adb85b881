"""Assignment: every row has an answer and, where a feature is missing or invalid, a reason."""

from collections.abc import Sequence

import numpy as np
import pytest

from adloom.audience.assignment import SUPPRESSED, assign, list_reasons
from adloom.audience.segmenter import FeatureScale, Segmenter

NAN = np.nan
COMPLETE = [10.0, 3, 20, 90, 40]


@pytest.fixture
def segmenter() -> Segmenter:
    """Return one of users with about one purchase and others; the median user has nine."""
    scale = FeatureScale(np.full(5, 9.0), np.zeros(5), np.ones(5))
    prototypes = np.log1p(np.array([[9.0, 1, 9, 9, 9], [9, 9, 9, 9, 9]]))
    return Segmenter(scale, prototypes, np.array([0, 1]), ("segment-1", "segment-2"))


def explain(segmenter: Segmenter, rows: Sequence[Sequence[float]]) -> list[tuple[str | None, str | None]]:
    """Return segment and reason of each row."""
    assigned = assign(segmenter, np.array(rows, dtype=np.float64).reshape(-1, 5))
    names, reasons = (*segmenter.names, None), list_reasons()
    return [(names[i], reasons[code]) for i, code in zip(assigned.segment, assigned.code, strict=True)]


@pytest.mark.parametrize(
    ("row", "segment", "reason"),
    [
        ([9, 1, 9, 9, 9], "segment-1", None),
        ([9, 1, 9, 9, NAN], "segment-1", None),  # a user with one purchase has no time between two
        ([9, 8, 9, 9, NAN], "segment-2", "interpurchase_days missing"),
        ([9, NAN, 9, 9, NAN], "segment-2", "frequency missing, interpurchase_days missing"),
        ([9, 1, -3, 9, 9], "segment-1", "monetary invalid"),
        ([NAN, 1, np.inf, 9, 9], "segment-1", "recency_days missing, monetary invalid"),
        ([-np.inf, -1, -1, -1, NAN], None, ("recency_days invalid, frequency invalid, monetary invalid, "
            "tenure_days invalid, interpurchase_days missing")),
        ([NAN] * 5, None, "unseen"),
    ],
)  # fmt: skip
def test_every_row_has_an_answer_and_a_reason(
    segmenter: Segmenter, row: list[float], segment: str | None, reason: str | None
) -> None:
    assert explain(segmenter, [row]) == [(segment, reason)]


def test_complete_rows_have_the_segments_of_the_model(segmenter: Segmenter) -> None:
    rows = np.random.default_rng(0).gamma(1, 9, (500, 5))
    assert [segment for segment, _ in explain(segmenter, rows.tolist())] == segmenter.assign(rows).tolist()
    assert explain(segmenter, []) == []


def test_a_suppressed_segment_is_not_named(segmenter: Segmenter) -> None:
    private = Segmenter(segmenter.scale, segmenter.prototypes, segmenter.segment, ("segment-1", SUPPRESSED))
    rows: list[list[float]] = [[9, 9, 9, 9, 9], [9, NAN, 9, 9, 9], [9, 1, 9, 9, 9], [NAN] * 5]
    assert explain(private, rows) == [(None, "suppressed"), (None, "suppressed"), ("segment-1", None), (None, "unseen")]
