"""The header of text files and spreadsheets: what stands above it or in its place is named with its key."""

import datetime
from pathlib import Path

import pytest
from tests.support.source_files import COPY, EVENTS, message, read, written

from adloom.config.value_formats import PLAIN_FORMAT, ValueFormat
from adloom.data.contracts import PARSE_ERROR
from adloom.data.reading.records import REPEATED_HEADER, build_column

REPORT = "Report: shop\nFrom: 2026-01-01\n\nCampaign,Day,Cost\nA,2026-01-05,1.00\n"
CAMPAIGNS = EVENTS.model_copy(
    update={"columns": {"user_id": "Campaign", "timestamp": "Day", "value": "Cost"}, "separator": ","}
)


def test_lines_above_the_header_are_named_and_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, "report.csv", REPORT)
    assert "line 4 looks like the header (Campaign, Day, Cost); set `skip_rows: 3`" in message(
        path, CAMPAIGNS, "events"
    )
    rows = read(path, CAMPAIGNS.model_copy(update={"skip_rows": 3}), "events")
    assert rows.iloc[0].to_dict() == {"user_id": "A", "timestamp": "2026-01-05", "event": "purchase", "value": "1.00"}


@pytest.mark.parametrize("header", ["Cafe\u0301 id", "Caf\u00e9\u00a0id", "Caf\u00e9  id"])
def test_a_name_is_found_in_every_unicode_form_and_with_every_blank(tmp_path: Path, header: str) -> None:
    source = COPY.model_copy(update={"columns": {"text": "Caf\u00e9 id"}})
    assert read(written(tmp_path, "lines.csv", f"{header}\nhello\n"), source, "copy")["text"].tolist() == ["hello"]


def test_lines_above_a_header_of_other_names_are_found_by_their_width(tmp_path: Path) -> None:
    path = written(tmp_path, "report.csv", REPORT.replace("Campaign,Day,Cost", "Kampagne,Tag,Kosten"))
    assert "line 4 looks like the header (Kampagne, Tag, Kosten); set `skip_rows: 3`" in message(path, COPY, "copy")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text,v,v,w,w\na,1,2,3,4\n", "lines.csv: column v, w stands twice; rename one of them"),
        ("id;text\n1;a\n", "lines.csv: one column, 'id;text', where ';' may separate more; set `separator: \";\"`"),
        ("id\ttext\n1\ta\n", 'set `separator: "\\t"`'),
        ("Report\nid;text\n1;a\n2;b\n", 'set `separator: ";"`'),
        (
            '"text" x\na\n',
            "lines.csv: line: text after a closing quote, expected the columns' names in line 1; set `skip_rows`",
        ),
        ("line\nx\n", "lines.csv (ingest.copy): no column for text"),
        ("text\n\n", "lines.csv (ingest.copy): no rows"),
        ("", "lines.csv (ingest.copy): no rows"),
    ],
)
def test_a_header_that_is_none_says_why(tmp_path: Path, content: str, expected: str) -> None:
    assert expected in message(written(tmp_path, "lines.csv", content), COPY, "copy")


def test_fields_below_no_name_are_left_out(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "lines.csv", ", text ,category,\n0,a,b,\n1,c,d\n2,e,f,,\n,,,\n"), COPY, "copy")
    assert list(rows) == ["copy_id", "text", "category"]
    assert rows["text"].tolist() == ["a", "c", "e"]


def test_a_header_in_the_middle_is_no_row(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "lines.csv", "text,category\na,b\ntext,category\nc,d\n"), COPY, "copy")
    assert rows[PARSE_ERROR].fillna("").tolist() == ["", REPEATED_HEADER, ""]


def test_values_of_several_types_are_text() -> None:
    assert build_column([1, "", 2], PLAIN_FORMAT).to_pylist() == [1, None, 2]
    values = [1, "a", True, 2.5, None, 10**30, datetime.datetime(2026, 1, 5)]
    texts = ["1", "a", "true", "2.5", None, str(10**30)]
    assert build_column(values, PLAIN_FORMAT).to_pylist() == [*texts, "2026-01-05T00:00:00"]
    german = ValueFormat(decimal=",", timestamp_format="%d.%m.%Y")
    assert build_column(["1,5", 2.5, values[-1]], german).to_pylist() == ["1,5", "2,5", "05.01.2026"]
