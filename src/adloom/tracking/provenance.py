"""The code and the image behind a run or a version."""

import subprocess
from pathlib import Path

from adloom.config.settings import Settings

DIRTY = "-dirty"  # suffix of a commit with uncommitted changes
RECORDED = {"params.yaml", "dvc.lock", "sources.lock"}
SECONDS = 10  # timeout of git


def read_tags(settings: Settings) -> dict[str, str]:
    """Return git_commit (`-dirty` with uncommitted changes) and image_digest where they are known."""
    known = {"git_commit": settings.git_commit or _describe_head(), "image_digest": settings.image_digest}
    return {name: value for name, value in known.items() if value}


def find_commit(settings: Settings) -> str | None:
    """Return the commit; changes of files in a run record do not make it dirty."""
    commit = settings.git_commit or _describe_head()
    if commit is None or settings.git_commit or not commit.endswith(DIRTY):  # an image names the commit of its build
        return commit
    prefix = next(iter(run_git("rev-parse", "--show-prefix")), "")
    changed = set(run_git("-c", "core.quotePath=false", "diff", "--name-only", "HEAD"))
    only_recorded = changed and changed <= {f"{prefix}{name}" for name in RECORDED}
    return commit.removesuffix(DIRTY) if only_recorded else commit


def run_git(*arguments: str, folder: Path = Path()) -> list[str]:
    """Return git's output lines; none when git fails."""
    try:
        result = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607 - the user's own
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return result.stdout.splitlines() if result.returncode == 0 else []


def _describe_head() -> str | None:
    return next(iter(run_git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")), None)
