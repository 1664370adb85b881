"""Quality: too many broken rows stop the stage, with the counts by reason; the rest is summed up."""

from collections import Counter

import pandas as pd
import pytest

from adloom.data.quality import Quality
from adloom.errors import DataError


def valid_rows(*split: str) -> pd.DataFrame:
    return pd.DataFrame({"split": split})


def test_above_the_rate_the_error_counts_reasons_most_frequent_first() -> None:
    quality = Quality("events", read=100)
    quality.count_valid(valid_rows(*["calibration"] * 90))
    quality.quarantined = Counter({"value: negative": 7, "timestamp: missing": 3})
    quality.require_rows(0.1)
    with pytest.raises(DataError) as caught:
        quality.require_rows(0.099)
    message = str(caught.value)
    assert message.startswith("events: 10 of 100 rows")
    assert "prepare.max_quarantine_rate 0.099" in message
    assert "value: negative (7), timestamp: missing (3)" in message


def test_no_row_left_is_never_accepted() -> None:
    quality = Quality("events", read=2, quarantined=Counter({"value: negative": 1}), dropped=Counter({"erased": 1}))
    with pytest.raises(DataError, match=r"events: no row is left of 2: erased \(1\), value: negative \(1\)"):
        quality.require_rows(1.0)


def test_the_summary_counts_over_chunks() -> None:
    quality = Quality("events", read=3)
    for day, split in (("2026-03-01", "holdout"), ("2026-01-01", "calibration"), ("2026-02-01", "calibration")):
        quality.count_valid(valid_rows(split).assign(timestamp=pd.Timestamp(day, tz="UTC")))
    summary = quality.summary()
    assert summary["dates"] == {"first": "2026-01-01T00:00:00+00:00", "last": "2026-03-01T00:00:00+00:00"}
    assert summary["rows"] == {
        "read": 3,
        "kept": 3,
        "calibration": 2,
        "holdout": 1,
        "quarantined": 0,
        "dropped": 0,
    }
    assert summary["warnings"] == []


def test_one_category_only_and_a_cut_that_cuts_nothing_are_worth_a_warning() -> None:
    pictures = Quality("creatives")
    pictures.count_valid(valid_rows("train", "test").assign(category="hats"))
    assert pictures.warnings() == ["one category only (hats): no model can tell categories apart"]
    events = Quality("events")
    events.count_valid(valid_rows("calibration").assign(timestamp=pd.Timestamp("2026-01-01", tz="UTC")))
    assert events.warnings() == ["every row is in calibration: prepare.events.holdout_start cuts nothing"]


def test_warnings_of_the_source_and_of_pictures_in_two_categories_are_shown() -> None:
    quality = Quality("creatives", ("left out as no data: README.md",), categories=Counter(hats=4, shoes=1))
    quality.add_recategorised(pd.Series([], dtype="str"))
    assert quality.warnings() == ["left out as no data: README.md"]
    for ids in (["a", "b"], ["c", "d"]):
        quality.add_recategorised(pd.Series(ids))
    assert quality.warnings()[1:] == ["4 pictures repeat one of another category, such as a, b, c"]
