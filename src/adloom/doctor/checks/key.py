"""The pseudonym key: present if a table is private, long enough, and not world-readable."""

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from adloom.config.params import Params
from adloom.context import read_pseudonym_key
from adloom.data import privacy
from adloom.doctor.context import DoctorContext
from adloom.doctor.finding import Finding, Kind
from adloom.errors import ConfigError
from adloom.stages import sources_lock


def check(context: DoctorContext) -> Iterator[Finding]:
    """Check the key; only its fingerprint is shown."""
    private = _private_tables(context.valid_params)
    path = context.settings.pseudonym_key_file
    try:
        if path:
            yield from _check_mode(path, context)
        key = read_pseudonym_key(context.settings)
    except OSError as error:
        yield Kind.KEY_UNREADABLE(
            f"ADLOOM_PSEUDONYM_KEY_FILE={path}: {error.strerror}", "name a file that this user can read"
        )
    except ConfigError as error:
        yield Kind.KEY_SHORT.from_error(error)
    else:
        yield from _check_presence(key, private)


def _check_presence(key: bytes | None, private: Mapping[str, bool]) -> Iterator[Finding]:
    named = [table for table, names_users in private.items() if names_users]
    if key is not None:
        used = f"used for {', '.join(private)}" if private else "no table needs one"
        yield Kind.KEY_OK(f"fingerprint {privacy.key_fingerprint(key)}, {used}")
    elif named:
        yield Kind.KEY_MISSING(f"{', '.join(named)}: private data without a pseudonym key", sources_lock.MAKE_KEY)
    else:
        yield Kind.KEY_NOT_ASKED("no table with private data of users in params.yaml")


def _check_mode(path: Path, context: DoctorContext) -> Iterator[Finding]:
    """Warn if every user can read a key's file. Raises OSError if this user cannot."""
    path.read_bytes()
    if path.stat().st_mode & stat.S_IROTH:
        advice = "defaultMode: 0440 of the volume" if context.environment == "pod" else f"chmod 600 {path}"
        yield Kind.KEY_OPEN(f"{path}: every user of this machine can read it", f"`{advice}`")


def _private_tables(params: Params | None) -> dict[str, bool]:
    """Return the tables with private sources, those to score too, and whether each names users for certain."""
    if params is None:
        return {}
    tables = {key: key.rpartition(".")[2] for key in params.sources}
    return {
        key.removeprefix("ingest."): sources_lock.names_users(tables[key], source)
        for key, source in params.sources.items()
        if sources_lock.is_private(tables[key], source.uri)
    }
