"""Provenance: which code, in which image, made a run or a version."""

import subprocess
from pathlib import Path

from adloom.config.settings import Settings

DIRTY = "-dirty"  # ends a commit when files were changed since
RECORDED = {"params.yaml", "dvc.lock", "sources.lock"}
SECONDS = 10  # that git is waited for


def read_tags(settings: Settings) -> dict[str, str]:
    """Return git_commit (with `-dirty` when files were changed since) and image_digest, each where it is known."""
    known = {"git_commit": settings.git_commit or _commit(), "image_digest": settings.image_digest}
    return {name: value for name, value in known.items() if value}


def find_commit(settings: Settings) -> str | None:
    """Return the commit as `tags` does; files that a record holds, or that follow from it, may have changed here."""
    commit = settings.git_commit or _commit()
    if commit is None or settings.git_commit or not commit.endswith(DIRTY):  # what an image says is of its own build
        return commit
    prefix = next(iter(run_git("rev-parse", "--show-prefix")), "")
    changed = set(run_git("-c", "core.quotePath=false", "diff", "--name-only", "HEAD"))
    only_recorded = changed and changed <= {f"{prefix}{name}" for name in RECORDED}
    return commit.removesuffix(DIRTY) if only_recorded else commit


def run_git(*arguments: str, folder: Path = Path()) -> list[str]:
    """Return the lines git answers about a folder; none without git, outside a repository, or when it refuses."""
    try:
        found = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607 - the user's own
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return found.stdout.splitlines() if found.returncode == 0 else []


def _commit() -> str | None:
    return next(iter(run_git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")), None)
