"""Files of secrets, which are read while requests are answered: a wrong path must not hold anything up."""

import os
import stat
from pathlib import Path

LIMIT = 1 << 20  # bytes
OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # a pipe without a writer is opened all the same


def read(path: Path) -> tuple[bytes, int]:
    """Return a file's content and mode. Raises OSError, and ValueError when it is no file or too large."""
    file = os.open(path, OPEN)
    try:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("not a file")
        content = b""
        while len(content) <= LIMIT and (block := os.read(file, LIMIT + 1 - len(content))):
            content += block
    finally:
        os.close(file)
    if len(content) > LIMIT:
        raise ValueError(f"more than {LIMIT} bytes")
    return content, stat.S_IMODE(mode)


def read_text(path: Path) -> tuple[str, int]:
    """Return a file's text and mode. Raises as `read` does, and ValueError when it is not text."""
    content, mode = read(path)
    try:
        return content.decode(), mode
    except UnicodeDecodeError:
        raise ValueError("not text (UTF-8)") from None


def reason(error: OSError | ValueError) -> str:
    """Say why a file could not be read, without its path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
