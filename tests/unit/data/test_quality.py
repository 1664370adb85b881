"""Quality: too many broken rows stop the stage, with the counts by reason; the rest is summed up."""

from collections import Counter

import pandas as pd
import pytest

from adloom.data.quality import Quality


def valid_rows(*split: str) -> pd.DataFrame:
    return pd.DataFrame({"split": split})


def invalid_rows(*rows: tuple[str | None, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["value", "reason"], dtype="str")


def test_above_the_rate_the_message_counts_reasons_most_frequent_first() -> None:
    quality = Quality("events", read=100)
    quality.count_valid(valid_rows(*["calibration"] * 90))
    quality.quarantined = Counter({"value: negative": 7, "timestamp: missing": 3})
    assert not quality.is_broken(0.1)
    assert quality.is_broken(0.099)
    message = quality.describe_failure(0.099)
    assert message.startswith("events: 10 of 100 rows")
    assert "prepare.max_quarantine_rate 0.099" in message
    assert "value: negative (7), timestamp: missing (3)" in message


def test_no_row_left_is_never_accepted() -> None:
    quality = Quality("events", read=2, quarantined=Counter({"value: negative": 1}), dropped=Counter({"erased": 1}))
    assert quality.is_broken(1.0)
    assert quality.describe_failure(1.0) == "events: no row is left of 2: erased (1), value: negative (1)"


def test_three_examples_show_every_frequent_reason_first_over_chunks() -> None:
    quality = Quality("events", read=9)
    quality.count_invalid(invalid_rows(("-1", "value: negative"), ("-2", "value: negative")), [4, 7])
    quality.count_invalid(invalid_rows((None, "timestamp: missing"), ("x" * 99, "value: negative")), [8, 9])
    assert quality.describe_failure(0.1).endswith("; for example row 4 value '-1', row 8, row 7 value '-2'")


def test_a_broken_picture_is_named_by_its_file() -> None:
    quality = Quality("creatives", read=2)
    rows = {"creative_id": ["Bag/1.png", "2.png"], "category": ["Bag", None]}
    quality.count_invalid(pd.DataFrame({**rows, "reason": ["image: broken", "category: missing"]}), [1, 2])
    message = quality.describe_failure(0.1)
    assert message.endswith("; for example row 2 creative_id '2.png', row 1 creative_id 'Bag/1.png'")


def test_examples_hide_addresses_of_users() -> None:
    quality = Quality("events", read=1)
    quality.count_invalid(invalid_rows(("ann@example.org", "value: not a number")), [1])
    assert quality.describe_failure(0.1).endswith("; for example row 1 value '…@…'")


def test_rows_after_the_end_show_the_days_of_all_rows() -> None:
    quality = Quality("events", read=2)
    for day in ("2026-01-05", "2031-01-01"):
        quality.count_times(pd.Series([pd.Timestamp(day, tz="UTC"), pd.NaT]))
    late = "timestamp: not before prepare.events.end"
    quality.count_invalid(invalid_rows((None, late)), [2])
    assert "; the data is from 2026-01-05 to 2031-01-01; for example row 2" in quality.describe_failure(0.1)


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
    pictures.count_valid(valid_rows("train", "test", "validation").assign(category="hats"))
    assert pictures.warnings() == ["one category only (hats): no model can tell categories apart"]
    events, day = Quality("events"), pd.Timestamp("2026-01-01", tz="UTC")
    events.count_valid(rows := valid_rows("calibration").assign(timestamp=day))
    events.count_times(rows["timestamp"])
    (warning,) = events.warnings()
    assert warning == (
        "all rows are in calibration: the data is from 2026-01-01 to 2026-01-01; set prepare.events.holdout_start to a "
        "day between"
    )


@pytest.mark.parametrize(("duplicates", "warned"), [(2, False), (3, True)])
def test_events_that_were_exported_twice_are_worth_a_warning(duplicates: int, warned: bool) -> None:
    events = Quality("events", duplicates=duplicates)
    events.count_valid(
        valid_rows(*["calibration"] * 9, "holdout").assign(timestamp=pd.Timestamp("2026-01-01", tz="UTC"))
    )
    note = f"rows that repeat an earlier one: {duplicates} of 10; was a part exported twice?"
    assert (note in events.warnings()) == warned


def test_a_split_without_rows_is_worth_a_warning() -> None:
    copy = Quality("copy")
    copy.count_valid(valid_rows("train", "train"))
    assert copy.warnings() == ["no row is in validation or test (rows: 2); training needs more different rows"]


@pytest.mark.parametrize("column", ["vlaue", "Value", " value", "values"])
def test_a_dropped_column_that_looks_misspelt_is_worth_a_warning(column: str) -> None:
    quality = Quality("events", columns_dropped=["phone", column], columns_absent=["item_id", "value"])
    warning = f"column {column!r} is dropped; if it means value, set ingest.events.columns.value"
    assert warning in quality.warnings()
    assert not any("phone" in text for text in quality.warnings())


def test_ids_of_the_erasure_list_without_rows_are_counted() -> None:
    def warn(ids: int, with_rows: int) -> list[str]:
        quality = Quality("copy", erasure={"ids": ids, "with_rows": with_rows})
        quality.count_valid(valid_rows("train", "validation", "test"))
        assert quality.summary()["erasure_list"] == {"ids": ids, "with_rows": with_rows}
        return quality.warnings()

    assert warn(3, 1) == ["prepare.erasure_list: 2 of 3 ids have no row"]
    assert warn(3, 3) == []
    assert warn(0, 0) == ["prepare.erasure_list: no ids in the file"]


def test_warnings_of_the_source_and_of_pictures_in_two_categories_are_shown() -> None:
    quality = Quality("creatives", ("left out as no data: README.md",), categories=Counter(hats=4, shoes=1))
    quality.count_category_conflicts(pd.Series([], dtype="str"))
    assert quality.warnings() == ["left out as no data: README.md"]
    for ids in (["a", "b"], ["c", "d"]):
        quality.count_category_conflicts(pd.Series(ids))
    assert quality.warnings()[1:] == ["pictures that repeat one of another category: 4, such as a, b, c"]


def test_categories_that_are_splits_are_a_warning() -> None:
    note = "categories named Test, train: if they are splits, set ingest.creatives.columns.category to $folder"
    assert note in Quality("creatives", categories=Counter(train=4, Test=1)).warnings()
    assert note not in Quality("creatives", categories=Counter(train=4, Test=1, hats=1)).warnings()
