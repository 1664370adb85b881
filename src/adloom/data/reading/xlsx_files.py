"""Reader of Excel workbooks."""

import datetime
import itertools
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from adloom.config.sources import Source
from adloom.data.reading.files import Chunks
from adloom.data.reading.records import Record, build_chunks
from adloom.errors import DataError

MAX_UNPACKED = 2 * 2**30  # bytes
MAX_STRINGS = 256 * 2**20  # bytes of the texts, which are held in memory
MAX_ROWS = 2**20  # of Excel
CHECKED_ROWS = 100  # for content, and for formulas without values
MERGED = re.compile(rb'mergeCell ref="([A-Z]+(\d+):[A-Z]+(\d+))"')
BLOCK = 2**20  # bytes


def read_xlsx(path: Path, source: Source) -> Chunks:
    """Yield the rows of a workbook's sheet: formulas as their values, times as times."""
    with _open_workbook(path) as workbook:
        sheet = _choose_sheet(workbook, source, path)
        with _open_workbook(path, data_only=False) as formulas:
            _require_values(sheet, formulas[sheet.title], path)
        _reject_merged_rows(sheet, source.skip_rows + 1, path)
        yield from build_chunks(_read_records(sheet, source.skip_rows), path, source)


@contextmanager
def _open_workbook(path: Path, *, data_only: bool = True) -> Iterator[Any]:
    """Open a workbook that is read row by row. Raises DataError for a damaged one, also while it is read."""
    import openpyxl

    warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")  # of styles it does not know
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            if sum(sizes.values()) > MAX_UNPACKED or sizes.get("xl/sharedStrings.xml", 0) > MAX_STRINGS:
                raise DataError(
                    f"{path}: {sum(sizes.values())} bytes unpacked, expected at most {MAX_UNPACKED}, of them "
                    f"{MAX_STRINGS} of text; save it as CSV"
                )
            workbook = openpyxl.load_workbook(stream, read_only=True, data_only=data_only, keep_links=False)
            for sheet in workbook.worksheets:
                sheet.reset_dimensions()  # some programs write wrong ones
            yield workbook
    except (zipfile.BadZipFile, ParseError, KeyError, ValueError, TypeError, IndexError, EOFError) as error:
        raise DataError(
            f"{path}: no readable .xlsx workbook without a password ({error}); save it again in a spreadsheet program"
        ) from None


def _choose_sheet(workbook: Any, source: Source, path: Path) -> Any:
    sheets = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
    if source.sheet is not None:
        sheets = [sheet for sheet in workbook.worksheets if sheet.title == source.sheet]
        if not sheets:
            raise DataError(f"{path}: no sheet {source.sheet}, only {', '.join(workbook.sheetnames)}; change `sheet`")
    if len(sheets) > 1:
        sheets = [sheet for sheet in sheets if any(map(any, sheet.iter_rows(max_row=CHECKED_ROWS, values_only=True)))]
    if len(sheets) > 1:
        raise DataError(f"{path}: sheets {', '.join(s.title for s in sheets)}; set `sheet` to one of them")
    return sheets[0] if sheets else workbook.worksheets[0]


def _require_values(sheet: Any, formulas: Any, path: Path) -> None:
    """Raise DataError for a formula without a value: the program that wrote the file did not compute it."""
    rows = zip(*(s.iter_rows(max_row=CHECKED_ROWS, values_only=True) for s in (sheet, formulas)), strict=False)
    for number, (values, texts) in enumerate(rows, start=1):
        for value, text in zip(values, texts, strict=False):
            if value is None and isinstance(text, str) and text.startswith("="):
                raise DataError(
                    f"{path}: row {number}: no value of the formula {text}; save the file in a spreadsheet program"
                )


def _reject_merged_rows(sheet: Any, header: int, path: Path) -> None:
    """Raise DataError for cells below the header that are merged over rows, of which only the first has the value."""
    with sheet._get_source() as stream:  # openpyxl leaves merged cells out when it reads row by row
        before = b""
        while block := stream.read(BLOCK):
            for cells, first, last in MERGED.findall(before + block):
                if int(first) < int(last) > header:
                    raise DataError(f"{path}: cells {cells.decode()} are merged; separate them and fill every row")
            before = block[-100:]


def _read_records(sheet: Any, skip_rows: int) -> Iterator[Record]:
    """Yield the rows that have values, as wide as the first or wider."""
    width = 0
    rows = enumerate(sheet.iter_rows(max_row=MAX_ROWS, values_only=True), start=1)
    for number, cells in itertools.islice(rows, skip_rows, None):
        fields = [_simplify(cell) for cell in cells]
        while fields and fields[-1] is None:
            fields.pop()
        if fields:
            width = width or len(fields)
            size = sum(len(field) for field in fields if isinstance(field, str))
            yield number, fields + [None] * (width - len(fields)), "", size


def _simplify(cell: Any) -> Any:
    """Return a cell as a number, a flag, a time or text; Excel stores whole numbers as others."""
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() and abs(cell) < 2**53 else cell
    if isinstance(cell, datetime.time | datetime.timedelta):
        return str(cell)
    return cell or None if isinstance(cell, str) else cell
