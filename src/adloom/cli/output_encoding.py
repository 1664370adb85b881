"""Output in any locale."""

import codecs
import io
import sys

PLAIN = {"✓": "+", "✗": "x", "→": "->", "…": "...", "≥": ">=", "≤": "<="}


def accept_any_locale() -> None:
    """Let stdout and stderr replace characters that their encoding lacks, instead of ending the command."""
    codecs.register_error("plain", _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    plain = PLAIN.get(error.object[error.start])
    return (plain, error.start + 1) if plain else codecs.backslashreplace_errors(error)
