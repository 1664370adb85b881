"""Files that hold decisions or rows of users: only their owner may read them."""

import os
from pathlib import Path
from typing import BinaryIO

MODE = 0o600


def create(path: Path) -> BinaryIO:
    """Open a new file in place of what is there. Raises OSError."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb")
