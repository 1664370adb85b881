"""sources.lock: which files the sources are made of, and which key makes the pseudonyms, to notice changes."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from adloom.catalogue import entries
from adloom.config.params import TABLES, Ingest, Params
from adloom.context import Outside
from adloom.data import privacy
from adloom.errors import DataError, ParamsError
from adloom.storage.base import SourceFile

LOCK = Path("sources.lock")
AGAIN = "run `adloom snapshot`"
KEY = (
    "`openssl rand -hex 32 > FILE` makes one, set ADLOOM_PSEUDONYM_KEY_FILE=FILE, "
    "or ADLOOM_PSEUDONYM_KEY to what is in it"
)
NO_KEY = f"private data needs a key for pseudonyms; {KEY}"


class Files(BaseModel):
    """The files of one source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    files: tuple[SourceFile, ...]


class Lock(BaseModel):
    """sources.lock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    key: str | None  # fingerprint of the pseudonym key; null when all data is public
    erasure: Files | None
    tables: dict[str, Files]

    def digests(self) -> dict[str, str]:
        """Return a sha256 for the files of each table, and `privacy` for the key and the erasure list together."""
        erasure = self.erasure.model_dump(mode="json") if self.erasure else None
        files = {table: _sha256(files.model_dump(mode="json")) for table, files in self.tables.items()}
        return {**files, "privacy": _sha256([self.key, erasure])}


def take(params: Params, outside: Outside) -> Lock:
    """Look at every source. Raises DataError when one is missing, ParamsError when private data has no key."""
    return look(params.ingest, params.prepare.erasure_list, outside)


def look(ingest: Ingest, erasure_list: str | None, outside: Outside) -> Lock:
    """Look at the sources given; raises as `take` does."""
    sources = {table: source.uri for table in TABLES if (source := ingest.source(table))}
    private = [table for table, uri in sources.items() if is_private(table, uri)]
    return Lock(
        key=privacy.fingerprint(require_key(private[0], outside)) if private else None,
        erasure=files(erasure_list, outside) if erasure_list else None,
        tables={table: files(uri, outside) for table, uri in sources.items()},
    )


def look_at_privacy(table: str, erasure_list: str | None, outside: Outside) -> Lock:
    """Look at the key and the erasure list alone; raises ParamsError when there is no key."""
    key = privacy.fingerprint(require_key(table, outside))
    return Lock(key=key, erasure=files(erasure_list, outside) if erasure_list else None, tables={})


def files(uri: str, outside: Outside) -> Files:
    """Look at one source. Raises DataError when it is missing."""
    return Files(uri=uri, files=tuple(outside.store.list(uri)))


def is_private(table: str, uri: str) -> bool:
    """Return whether rows of a table from this source belong to users who did not publish them."""
    return table in privacy.TABLES and uri not in entries.ENTRIES


def require_key(table: str, outside: Outside) -> bytes:
    """Return the pseudonym key. Raises ParamsError saying how to make one when there is none."""
    if outside.pseudonym_key is None:
        raise ParamsError(f"{table}: {NO_KEY}")
    return outside.pseudonym_key


def save(lock: Lock, path: Path) -> bool:
    """Write sources.lock unless it says the same already; return whether it was written."""
    text = json.dumps(lock.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    beside = path.with_name(f".{path.name}.partial")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return True


def load(path: Path) -> Lock:
    """Read sources.lock. Raises DataError when it is not there or not one."""
    try:
        return Lock.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {AGAIN}") from None
    except ValidationError as error:
        raise DataError(f"{path}: not a lock of format 1: {error.errors()[0]['msg']}; {AGAIN}") from None


def check(locked: Files | None, what: str, uri: str, outside: Outside) -> None:
    """Raise DataError when the files of a source are no longer those of the lock, naming the first that differs."""
    if locked is None or locked.uri != uri:
        raise DataError(f"{what}: sources.lock knows {locked.uri if locked else 'no source'}, not {uri}; {AGAIN}")
    then, now = ({file.path: file for file in files} for files in (locked.files, outside.store.list(uri)))
    for path in sorted(then.keys() | now.keys()):
        if then.get(path) != now.get(path):
            how = "is gone" if path not in now else "is new" if path not in then else "changed"
            raise DataError(f"{what}: {uri}: {path} {how} since sources.lock was written; {AGAIN}")


@contextmanager
def held(locked: Files | None, what: str, uri: str, outside: Outside) -> Iterator[None]:
    """Check a source before it is read and again after: one that changes meanwhile is refused, too. As `check`."""
    check(locked, what, uri, outside)
    yield
    check(locked, what, uri, outside)


def _sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
