"""Lines of counts become weighted rows."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.source_files import message, read, written

from adloom.config.sources import Source
from adloom.config.value_formats import PLAIN_FORMAT
from adloom.data.aggregates import expand_counts
from adloom.data.contracts import PARSE_ERROR, PLACE, validate
from adloom.errors import ConfigError

SOURCE = Source(
    uri="results.csv",
    format="csv",
    separator=";",
    columns={"timestamp": "day", "creative_id": "variant", "impressions": "shown", "clicks": "hits"},
    constants={"placement": "top", "propensity": 0.5},
)


def read_lines(folder: Path, *lines: str, **changes: object) -> pd.DataFrame:
    path = written(folder, "results.csv", "\n".join(["day;variant;shown;hits;value", *lines]))
    return read(path, SOURCE.model_copy(update=changes), "impressions")


def test_a_line_is_two_rows_at_most(tmp_path: Path) -> None:
    rows = read_lines(
        tmp_path, "2026-01-02;a;1000;30;9.5", "2026-01-02;b;5;0;", "2026-01-03;a;0;0;", "2026-01-03;b;2;2;1"
    )
    parsed, reasons = validate(rows, "impressions")
    assert (reasons == "").all()
    columns = ["impression_id", "creative_id", "clicked", "weight"]
    assert parsed[columns].to_numpy().tolist() == [
        ["00000000", "a", True, 30], ["00000001", "a", False, 970], ["00000002", "b", False, 5],
        ["00000003", "b", True, 2],
    ]  # fmt: skip
    assert parsed["value"].fillna(0).tolist() == [9.5, 0, 0, 1]  # a line's sum is counted once


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ("10;11", "clicks: more than impressions"),
        ("-10;0", "impressions: negative"),
        ("10;-1", "clicks: negative"),
        ("10.5;1", "impressions: not a whole number"),
        ("10;0.5", "clicks: not a whole number; a rate?"),
        ("10;2.5%", "clicks: not a whole number; a rate?"),
        ("many;1", "impressions: not a whole number"),
        ("1.000;1", "impressions: not a whole number; set decimal"),
        ("10;", "clicks: missing"),
        (";", "impressions: missing"),
    ],
)
def test_invalid_counts_are_named(tmp_path: Path, counts: str, reason: str) -> None:
    for lines in ([f"2026-01-02;a;{counts};"], ["2026-01-02;b;3;1;", f"2026-01-02;a;{counts};"]):
        rows = read_lines(tmp_path, *lines)
        parsed, reasons = validate(rows, "impressions")
        assert len(parsed) == 2 * len(lines) - 1
        assert reasons.iloc[-1].startswith(reason)
        assert (reasons.iloc[:-1] == "").all()
        shown, clicks = (count or "no" for count in counts.split(";"))
        assert rows[PLACE].iloc[-1] == f"a line of {shown} impressions and {clicks} clicks"


def test_ids_of_lines_stay_distinct(tmp_path: Path) -> None:
    path = written(tmp_path, "results.csv", "impression_id;day;variant;shown;hits\nx;2026-01-02;a;5;2\n")
    assert read(path, SOURCE, "impressions")["impression_id"].tolist() == ["x-clicked", "x-not-clicked"]


def test_counts_are_written_as_the_source_writes_numbers(tmp_path: Path) -> None:
    rows = read_lines(tmp_path, "2026-01-02;a;12.000;1.000;", decimal=",", thousands=".")
    assert rows["weight"].tolist() == [1000, 11_000]


@pytest.mark.parametrize(
    ("columns", "constants", "text"),
    [
        ({"impressions": "shown"}, {}, "ingest.impressions.columns: impressions alone; name impressions and clicks"),
        (SOURCE.columns, {"clicked": True}, "ingest.impressions: clicked beside impressions and clicks"),
    ],
)
def test_counts_that_say_too_little_or_too_much_are_refused(
    tmp_path: Path, columns: dict[str, str], constants: dict[str, object], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        read_lines(tmp_path, "2026-01-02;a;5;2;", columns=columns, constants=constants)


def test_counts_that_are_not_named_are_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, "results.csv", "timestamp;creative_id;Impressions;Clicks\n2026-01-02;a;5;2\n")
    text = message(path, SOURCE.model_copy(update={"columns": {}}), "impressions")
    assert text.endswith("name them: columns: {impressions: Impressions, clicks: Clicks}")


@given(st.lists(st.tuples(st.integers(-2, 9), st.integers(-2, 9)), min_size=1, max_size=10))
def test_no_impression_is_lost_or_made_up(counts: list[tuple[int, int]]) -> None:
    lines = pd.DataFrame(counts, columns=["impressions", "clicks"]).assign(creative_id=range(len(counts)))
    rows = expand_counts(lines, PLAIN_FORMAT)
    broken = [number for number, (shown, clicks) in enumerate(counts) if not 0 <= clicks <= shown]
    assert (rows["creative_id"].is_monotonic_increasing, len(rows) <= 2 * len(counts)) == (True, True)
    assert rows.loc[rows["weight"].isna(), "creative_id"].tolist() == broken
    for number, (shown, clicks) in enumerate(counts):
        if number not in broken:
            mine = rows[rows["creative_id"] == number]
            assert (mine["weight"].sum(), mine.loc[mine["clicked"], "weight"].sum()) == (shown, clicks)
    assert (PARSE_ERROR in rows) == bool(broken)
