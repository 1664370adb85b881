"""sources.lock: the source files and the pseudonym key's fingerprint, to notice changes."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from adloom.catalogue import entries
from adloom.config.params import TABLES, Params
from adloom.config.sources import Ingest, Source
from adloom.context import StageContext
from adloom.data import privacy
from adloom.errors import ConfigError, DataError
from adloom.stages.source_files import locate_files
from adloom.storage.base import SourceFile

LOCK = Path("sources.lock")
USERS_REQUIRED = ("events",)  # tables whose contract requires user_id; contracts import pandas, which serving lacks
RUN_SNAPSHOT = "run `adloom snapshot`"
MAKE_KEY = (
    "`openssl rand -hex 32 > FILE` makes one, set ADLOOM_PSEUDONYM_KEY_FILE=FILE, "
    "or ADLOOM_PSEUDONYM_KEY to what is in it"
)
NO_KEY = f"private data needs a key for pseudonyms; {MAKE_KEY}"


class SourceFiles(BaseModel):
    """The files of one source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    files: tuple[SourceFile, ...]


class SourcesLock(BaseModel):
    """The content of sources.lock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    key: str | None  # fingerprint of the pseudonym key; null when all data is public
    erasure: SourceFiles | None
    tables: dict[str, SourceFiles]

    def digests(self) -> dict[str, str]:
        """Return a sha256 per table, and `privacy` for the key and the erasure list."""
        erasure = self.erasure.model_dump(mode="json") if self.erasure else None
        files = {table: _sha256(files.model_dump(mode="json")) for table, files in self.tables.items()}
        return {**files, "privacy": _sha256([self.key, erasure])}


def scan(params: Params, context: StageContext) -> SourcesLock:
    """Scan every source. Raises DataError when one is missing, ConfigError when private data has no key."""
    return scan_table(params.ingest, params.prepare.erasure_list, context)


def scan_table(ingest: Ingest, erasure_list: str | None, context: StageContext) -> SourcesLock:
    """Scan the sources of some tables; raises as `scan` does."""
    sources = {table: source for table in TABLES if (source := ingest.source(table))}
    private = [table for table, source in sources.items() if is_private(table, source.uri)]
    named = [table for table in private if names_users(table, sources[table])]
    if named:
        require_key(named[0], context)
    return SourcesLock(
        key=privacy.key_fingerprint(context.pseudonym_key) if private and context.pseudonym_key else None,
        erasure=_scan_erasure_list(erasure_list, context),
        tables={table: scan_source(source, table, context) for table, source in sources.items()},
    )


def scan_privacy(table: str, erasure_list: str | None, context: StageContext) -> SourcesLock:
    """Scan the key and the erasure list. Raises ConfigError when there is no key."""
    key = privacy.key_fingerprint(require_key(table, context))
    return SourcesLock(key=key, erasure=_scan_erasure_list(erasure_list, context), tables={})


def scan_source(source: Source, table: str, context: StageContext) -> SourceFiles:
    """Scan one source. Raises DataError when it is missing."""
    located = locate_files(source, table, context.store)
    return SourceFiles(uri=source.uri, files=tuple(context.store.add_versions(located.root, located.listed)))


def scan_files(uri: str, context: StageContext) -> SourceFiles:
    """Scan all files below a URI. Raises DataError when there are none."""
    return SourceFiles(uri=uri, files=tuple(context.store.add_versions(uri, context.store.list(uri))))


def _scan_erasure_list(uri: str | None, context: StageContext) -> SourceFiles | None:
    try:
        return scan_files(uri, context) if uri else None
    except DataError as error:
        raise DataError(f"prepare.erasure_list: {error}") from None


def is_private(table: str, uri: str) -> bool:
    """Return whether a table's source holds user data that is not published."""
    return table in privacy.USER_TABLES and uri not in entries.ENTRIES


def names_users(table: str, source: Source) -> bool:
    """Return whether a source must have users, or names their column; others show at ingestion whether they do."""
    return table in USERS_REQUIRED or "user_id" in source.columns or "user_id" in source.constants


def require_key(table: str, context: StageContext) -> bytes:
    """Return the pseudonym key. Raises ConfigError without one."""
    if context.pseudonym_key is None:
        raise ConfigError(f"{table}: {NO_KEY}")
    return context.pseudonym_key


def save(lock: SourcesLock, path: Path) -> bool:
    """Write sources.lock if it changed; return whether it did."""
    text = json.dumps(lock.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return True


def load(path: Path) -> SourcesLock:
    """Read sources.lock. Raises DataError when it is missing or invalid."""
    try:
        return SourcesLock.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {RUN_SNAPSHOT}") from None
    except ValidationError as error:
        raise DataError(f"{path}: not a lock of format 1: {error.errors()[0]['msg']}; {RUN_SNAPSHOT}") from None


def require_unchanged(locked: SourceFiles | None, label: str, current: SourceFiles) -> None:
    """Raise DataError naming the first file of a source that differs from the lock, and how many differ."""
    uri = current.uri
    if locked is None or locked.uri != uri:
        raise DataError(f"{label}: sources.lock has {locked.uri if locked else 'no source'}, not {uri}; {RUN_SNAPSHOT}")
    before, after = ({file.path: file for file in source.files} for source in (locked, current))
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    if changed:
        path, others = changed[0], f" (1 of {len(changed)} changes)" if changed[1:] else ""
        change = "is gone" if path not in after else "is new" if path not in before else "changed"
        raise DataError(f"{label}: {uri}: {path} {change} since sources.lock was written{others}; {RUN_SNAPSHOT}")


@contextmanager
def assert_unchanged(locked: SourceFiles | None, label: str, scan: Callable[[], SourceFiles]) -> Iterator[None]:
    """Check a source before and after it is read, and when a file vanishes. Raises as `require_unchanged` does."""
    require_unchanged(locked, label, scan())
    try:
        yield
    except FileNotFoundError as error:
        require_unchanged(locked, label, scan())
        raise DataError(f"{label}: {error.filename} was gone for a moment; {RUN_SNAPSHOT}") from None
    require_unchanged(locked, label, scan())


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
