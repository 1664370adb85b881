"""Read the source of a table as chunks of raw rows under the contract's column names."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from adloom.config.sources import Source
from adloom.data.contracts import CONTRACTS, PLACE
from adloom.data.reading.abc_files import read_abc
from adloom.data.reading.column_mapper import ColumnMapper
from adloom.data.reading.csv_files import read_csv
from adloom.data.reading.data_files import is_of_format, name_some
from adloom.data.reading.files import Chunks, FileFormatError
from adloom.data.reading.idx_files import read_idx
from adloom.data.reading.jsonl_files import JsonlReader
from adloom.data.reading.parquet_files import ParquetReader
from adloom.data.reading.path_columns import read_path_columns
from adloom.data.reading.picture_folders import PictureLoader, read_folder
from adloom.data.reading.xlsx_files import read_xlsx
from adloom.errors import DataError

FILE_READERS: Mapping[str, Callable[[Path, Source], Chunks]] = {"abc": read_abc, "csv": read_csv, "xlsx": read_xlsx}
SOURCE_READERS: Mapping[str, Callable[[Sequence[Path], Source, str], Callable[[Path], Chunks]]] = {
    "jsonl": JsonlReader,
    "parquet": ParquetReader,
}


class SourceReader:
    """Reads the files of a source below a folder."""

    def __init__(self, root: Path, paths: Sequence[str], source: Source, table: str) -> None:
        self._root, self._paths, self._source, self._table = root, paths, source, table
        self._pictures = PictureLoader(root, paths)
        self._columns = ColumnMapper(source, table)
        self._empty: list[str] = []  # files without rows

    def warnings(self) -> list[str]:
        """Return warnings about the columns and the files of what was read so far."""
        return self._columns.warnings() + ([f"files without rows: {name_some(self._empty)}"] if self._empty else [])

    def read_chunks(self) -> Chunks:
        """
        Yield rows under the contract's column names, with the source's constants.

        The contract's columns come first, in its order. Raises DataError for an unreadable file, ConfigError for an
        unknown column.
        """
        contract, start = CONTRACTS[self._table], 0
        for rows in self._read_named():
            if contract.key and contract.key not in rows:
                rows[contract.key] = [f"{number:08}" for number in range(start, start + len(rows))]
            start += len(rows)
            ours = pd.Index([name for name in contract.select_columns(rows.columns) if name in rows])
            yield pd.concat([rows[ours], rows.loc[:, ~rows.columns.isin(ours)]], axis=1)
        if not start:
            raise DataError(f"{self._source.uri} (ingest.{self._table}): no rows")

    def _read_named(self) -> Chunks:
        """Yield rows under the contract's names, with pictures loaded."""
        for path, chunk in self._read_files():
            rows = self._columns.rename(chunk, path)
            if self._table == "creatives" and pd.api.types.is_string_dtype(rows["image"]):
                yield from self._pictures.load(rows, path.rpartition("/")[0])
            else:
                yield rows

    def _read_files(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield chunks of rows with the path of their file, "" for a format of whole folders."""
        if self._source.format == "folder":
            yield from (("", chunk) for chunk in read_folder(self._paths, self._source))
        elif self._source.format == "idx":
            yield from (("", chunk) for chunk in read_idx(self._root, self._paths, self._source))
        else:
            yield from self._read_tables()

    def _read_tables(self) -> Iterator[tuple[str, pd.DataFrame]]:
        paths = [path for path in self._paths if is_of_format(path, self._source)]
        reader = self._open_reader(paths)
        for path in paths:
            columns, rows = read_path_columns(path, self._source), 0
            for chunk in _explain_difference(reader(self._root / path), paths[0] if path != paths[0] else None):
                added = {n: pd.Series(v, chunk.index, "str") for n, v in columns.items() if n not in chunk}
                if PLACE in chunk:
                    added[PLACE] = path.removesuffix(path.rpartition("/")[2]) + chunk[PLACE]
                rows += len(chunk)
                yield path, chunk.assign(**added)
            if not rows:
                self._empty.append(path)

    def _open_reader(self, paths: Sequence[str]) -> Callable[[Path], Chunks]:
        name = str(self._source.format)
        if name in SOURCE_READERS:
            return SOURCE_READERS[name]([self._root / path for path in paths], self._source, self._table)
        read_file = FILE_READERS[name]
        return lambda path: read_file(path, self._source)


def _explain_difference(chunks: Chunks, other: str | None) -> Chunks:
    """Yield chunks of a file; if it is written in another way than another file, say what to do."""
    try:
        yield from chunks
    except FileFormatError as error:
        if other is None:
            raise
        raise DataError(
            f"{error}. The key is for all files of the source: if it does not fit {other}, convert this file, or move "
            "it to another source"
        ) from None
