"""A tokens file with one token."""

import hashlib
from pathlib import Path


def tokens_file(folder: Path, token: str, scopes: str = "trigger") -> Path:
    """Write a tokens file that admits this token, and return its path."""
    path = folder / "tokens"
    path.write_text(f"platform {scopes} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n", encoding="utf-8")
    path.chmod(0o600)
    return path
