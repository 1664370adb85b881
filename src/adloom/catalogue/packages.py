"""Places to download the catalogue's packages from: addresses and package managers."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from adloom.errors import ExternalServiceError

DOWNLOAD_TIMEOUT = 600  # seconds
ADDRESS_TIMEOUT = 5  # seconds that a package manager waits for one address of a silent server


@dataclass(frozen=True)
class Url:
    """An address of a file; an interrupted download resumes."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class PackageManager:
    """A package manager, which knows the user's mirrors, proxies and certificates."""

    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"`{' '.join(self.command)}`"

    def download(self, folder: Path, file: str) -> Path:
        """Run the command in a folder and return the file. Raises ExternalServiceError with its last error line."""
        program = sys.executable if self.command[0] == "python" else shutil.which(self.command[0])
        if program is None:
            raise ExternalServiceError(f"no program called {self.command[0]}")
        try:
            process = subprocess.run(  # noqa: S603 - the catalogue's own commands
                [program, *self.command[1:]],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=DOWNLOAD_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ExternalServiceError(f"not finished after {DOWNLOAD_TIMEOUT} s") from None
        if process.returncode:
            raise ExternalServiceError(_last_error(process.stderr) or f"exit code {process.returncode}")
        if not (folder / file).is_file():
            raise ExternalServiceError(f"it did not write {file}")
        return folder / file


Origin = Url | PackageManager


def pip(requirement: str) -> PackageManager:
    """Return pip's command that downloads a wheel for any Python, without dependencies."""
    options = (
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--quiet",
        "--ignore-requires-python",
        f"--timeout={ADDRESS_TIMEOUT}",
        "--retries=1",
    )
    return PackageManager(("python", "-m", "pip", "download", *options, "--dest=.", requirement))


def apt(package: str) -> PackageManager:
    """Return apt-get's command that downloads a Debian package without root."""
    timeouts = [f"-oAcquire::{scheme}::Timeout={ADDRESS_TIMEOUT}" for scheme in ("http", "https")]
    return PackageManager(("apt-get", "download", "-q", "-oAcquire::Retries=0", *timeouts, package))


def npm(package: str) -> PackageManager:
    """Return npm's command that downloads a package without installing it."""
    return PackageManager(("npm", "pack", "--loglevel=error", "--fetch-retries=1", package))


def _last_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "e:", "npm err"))]
    return (errors or lines or [""])[-1]
