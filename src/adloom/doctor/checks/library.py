"""The creative library: its place, the schema of its database, and whether its files can be written."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from adloom.doctor.checks.machine import find_write_error
from adloom.doctor.context import DoctorContext, is_installed
from adloom.doctor.finding import Finding, Kind
from adloom.errors import AdloomError
from adloom.library.location import find_files, has_library, open_library
from adloom.storage.base import is_remote


def check(context: DoctorContext) -> Iterator[Finding]:
    """Open the library, which brings its schema up to date, and look for the right to write its folder."""
    settings = context.settings
    if not has_library(settings):
        yield Kind.LIBRARY_NOT_ASKED("none yet; `adloom library add` or `save` in a request makes one in ADLOOM_HOME")
        return
    if not is_installed("sqlalchemy"):
        yield Kind.LIBRARY_FAILED("SQLAlchemy is not installed", "install adloom[train] or adloom[serve]")
        return
    files = find_files(settings)
    if not is_remote(files) and (why := find_write_error(Path(files))):
        yield Kind.LIBRARY_UNWRITABLE(f"{files}: {why}", "make it writable, or set ADLOOM_LIBRARY_FILES")
    try:
        library = open_library(settings)
        with closing(library):
            (created, reviewed), revision = library.count_records(), library.database.read_version()
    except AdloomError as error:
        yield Kind.LIBRARY_FAILED.from_error(error)
        return
    counts = f"{created} creatives, {reviewed} reviews"
    yield Kind.LIBRARY_OK(f"{library.database.name}: schema {revision}, {counts}; contents in {files}")
