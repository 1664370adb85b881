"""The data files of a source: the lock names the files that ingest reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from adloom.catalogue import entries
from adloom.config.sources import Source
from adloom.data.reading.data_files import TABULAR, DataFiles, is_picture, select_data_files
from adloom.errors import DataError
from adloom.storage.base import SourceFile, Store


@dataclass(frozen=True)
class LocatedFiles:
    """The data files of a source."""

    root: str  # the source's URI, or the folder of a table that names pictures by path
    data: DataFiles
    listed: Sequence[SourceFile]  # perhaps without versions


def locate_files(source: Source, table: str, store: Store) -> LocatedFiles:
    """List the data files of a source. Raises DataError if there are none."""
    try:
        source, listed = entries.complete_source(source), entries.list_files(source.uri, table, store)
    except DataError as error:
        raise DataError(f"ingest.{table}.uri: {error}") from None
    name = source.uri.rpartition("/")[2]
    if table == "creatives" and source.format in TABULAR and [file.path for file in listed] == [name]:
        source = source.model_copy(update={"uri": source.uri.removesuffix(name).rstrip("/") or "."})
        listed = [file for file in store.list(source.uri) if file.path == name or is_picture(file.path)]
    data = select_data_files({file.path: file.bytes for file in listed}, source, table)
    chosen = {*data.paths}
    return LocatedFiles(source.uri, data, [file for file in listed if file.path in chosen])
