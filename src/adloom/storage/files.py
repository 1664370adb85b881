"""Files of secrets and of users' data."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

LIMIT = 1 << 20  # bytes
READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # opening a pipe without a writer does not block
PRIVATE_MODE = 0o600


def read_secret(path: Path) -> tuple[bytes, int]:
    """Return content and mode, without blocking. Raises OSError, and ValueError if it is no regular, small file."""
    file = os.open(path, READ_FLAGS)
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


def read_secret_text(path: Path) -> tuple[str, int]:
    """Return text and mode. Raises as `read_secret` does."""
    content, mode = read_secret(path)
    try:
        return content.decode(), mode
    except UnicodeDecodeError:
        raise ValueError("not text (UTF-8)") from None


def failure_reason(error: OSError | ValueError) -> str:
    """Return why a file could not be read, without its path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def create_private(path: Path) -> BinaryIO:
    """Create or replace a file that only its owner may read."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE), "wb")
