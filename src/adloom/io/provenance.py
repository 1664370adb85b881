"""Provenance: which code, in which image, made a run or a version."""

import subprocess

from adloom.settings import Settings


def tags(settings: Settings) -> dict[str, str]:
    """Return git_commit (with `-dirty` when files were changed since) and image_digest, each where it is known."""
    known = {"git_commit": settings.git_commit or _commit(), "image_digest": settings.image_digest}
    return {name: value for name, value in known.items() if value}


def _commit() -> str | None:
    """Ask git about the folder this runs in; None without git or outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
