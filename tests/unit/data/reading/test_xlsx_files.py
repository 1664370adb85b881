"""Excel workbooks: cells keep their types, and a workbook that cannot be read says why."""

import datetime
import io
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from tests.support.source_files import EVENTS, message, read, written

from adloom.data.contracts import PARSE_ERROR, PLACE
from adloom.data.reading import xlsx_files

ORDERS = EVENTS.model_copy(update={"format": "xlsx"})
HEADER: list[Any] = ["customer", "when", "total"]
ROWS: list[list[Any]] = [
    HEADER,
    [42, datetime.datetime(2026, 1, 2), 9.99],
    ["00042", datetime.datetime(2026, 1, 3, 12), None],
]


def workbook(folder: Path, **sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    path = folder / "orders.xlsx"
    book.save(path)
    return path


def test_cells_keep_their_types(tmp_path: Path) -> None:
    rows = read(workbook(tmp_path, Orders=ROWS, Empty=[]), ORDERS, "events")
    assert rows["user_id"].tolist() == ["42", "00042"]
    assert rows["timestamp"].tolist() == [datetime.datetime(2026, 1, 2), datetime.datetime(2026, 1, 3, 12)]
    assert rows["value"].fillna(0).tolist() == [9.99, 0]


def test_rows_above_the_header_are_named_and_skipped(tmp_path: Path) -> None:
    path = workbook(tmp_path, Orders=[["Orders of January"], [], *ROWS])
    assert "set `skip_rows: 2`" in message(path, ORDERS, "events")
    assert len(read(path, ORDERS.model_copy(update={"skip_rows": 2}), "events")) == 2


def test_one_of_several_sheets_is_named(tmp_path: Path) -> None:
    path = workbook(tmp_path, Notes=[["hello"]], Orders=ROWS)
    assert "sheets Notes, Orders; set `sheet` to one of them" in message(path, ORDERS, "events")
    assert len(read(path, ORDERS.model_copy(update={"sheet": "Orders"}), "events")) == 2
    wrong = ORDERS.model_copy(update={"sheet": "orders"})
    assert "no sheet orders, only Notes, Orders; change `sheet`" in message(path, wrong, "events")


def test_a_row_that_is_too_wide_breaks_no_other(tmp_path: Path) -> None:
    rows = read(workbook(tmp_path, Orders=[*ROWS, [], ["a", "b", 1, None, "note"], [1]]), ORDERS, "events")
    assert rows[PARSE_ERROR].dropna().to_dict() == {2: "line: 5 fields, expected 3"}
    assert rows[PLACE].dropna().tolist() == ["orders.xlsx line 5"]
    assert rows["user_id"].dropna().tolist() == ["42", "00042", "1"]


def test_a_formula_without_a_value_is_named(tmp_path: Path) -> None:
    path = workbook(tmp_path, Orders=[HEADER, ["ann", "2026-01-02", "=1+1"]])
    assert "row 2: no value of the formula =1+1; save the file in a spreadsheet" in message(path, ORDERS, "events")


def test_merged_rows_are_named(tmp_path: Path) -> None:
    path = workbook(tmp_path, Orders=[["Orders of January"], [], *ROWS])
    book = openpyxl.load_workbook(path)
    book["Orders"].merge_cells("A1:C2")
    book.save(path)
    source = ORDERS.model_copy(update={"skip_rows": 2})
    assert len(read(path, source, "events")) == 2
    book["Orders"].merge_cells("A4:A5")
    book.save(path)
    assert "cells A4:A5 are merged; separate them and fill every row" in message(path, source, "events")


def test_a_workbook_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    content = workbook(tmp_path, Orders=ROWS).read_bytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("orders.csv", "customer,when,total\n")
    for broken in (
        b"customer,when,total\n",
        content[:-30],
        stream.getvalue(),
        content.replace(b"PK\1\2", b"PK\1\0", 1),
    ):
        path = written(tmp_path, "orders.xlsx", broken)
        assert message(path, ORDERS, "events").startswith(f"{path}: no readable .xlsx workbook")


def test_a_workbook_that_unpacks_to_more_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx_files, "MAX_UNPACKED", 1000)
    assert "bytes unpacked, expected at most 1000, of them" in message(
        workbook(tmp_path, Orders=ROWS), ORDERS, "events"
    )
