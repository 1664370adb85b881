"""Packages: where the catalogue's data is published, and how it is unpacked and brought to plain files, in Python."""

import csv
import gzip
import io
import json
import lzma
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adloom.arrays import UInt8Array
from adloom.errors import ExternalServiceError

CLIENT_TIMEOUT = 600  # seconds for a download
SILENCE = 5  # seconds that a package client waits for one address of a server that does not answer

Members = Mapping[str, bytes]  # the files of a package that an entry wants, by their path in it
Unpack = Callable[[Path, Sequence[str]], Members]


@dataclass(frozen=True)
class Url:
    """A file at an address; an interrupted download goes on where it stopped."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class PackageManager:
    """A package client, which knows the user's mirrors, proxies and certificates; it writes into its working folder."""

    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"`{' '.join(self.command)}`"

    def download(self, folder: Path, file: str) -> Path:
        """Run the client in a folder and return the file it wrote. Raises ExternalServiceError with its last line."""
        program = sys.executable if self.command[0] == "python" else shutil.which(self.command[0])
        if program is None:
            raise ExternalServiceError(f"no program called {self.command[0]}")
        try:
            done = subprocess.run(  # noqa: S603 - the catalogue's own commands
                [program, *self.command[1:]],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=CLIENT_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ExternalServiceError(f"no end after {CLIENT_TIMEOUT} s") from None
        if done.returncode:
            raise ExternalServiceError(_last_line(done.stderr) or f"exit code {done.returncode}")
        if not (folder / file).is_file():
            raise ExternalServiceError(f"it did not write {file}")
        return folder / file


Place = Url | PackageManager


def pip(requirement: str) -> PackageManager:
    """Return pip, which downloads a wheel without installing it or what it depends on, whatever Python it is for."""
    options = (
        "--no-deps",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--quiet",
        "--ignore-requires-python",
        f"--timeout={SILENCE}",
        "--retries=1",
    )
    return PackageManager(("python", "-m", "pip", "download", *options, "--dest=.", requirement))


def apt(package: str) -> PackageManager:
    """Return apt-get, which downloads a Debian package without root."""
    waits = [f"-oAcquire::{scheme}::Timeout={SILENCE}" for scheme in ("http", "https")]
    return PackageManager(("apt-get", "download", "-q", "-oAcquire::Retries=0", *waits, package))


def npm(package: str) -> PackageManager:
    """Return npm, which downloads a package without installing it."""
    return PackageManager(("npm", "pack", "--loglevel=error", "--fetch-retries=1", package))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "e:", "npm err"))]
    return (errors or lines or [""])[-1]


def wheel(path: Path, members: Sequence[str]) -> Members:
    """Read files of a wheel or other zip archive."""
    with zipfile.ZipFile(path) as archive:
        return {member: archive.read(member) for member in members}


def tarball(path: Path, members: Sequence[str]) -> Members:
    """Read files of a tar archive, compressed or not."""
    with tarfile.open(path) as archive:
        return _tar_members(archive, members)


def deb(path: Path, members: Sequence[str]) -> Members:
    """Read files of a Debian package: an ar archive, in which data.tar.xz holds them."""
    with path.open("rb") as stream:
        data = next(content for name, content in _ar(stream.read()) if name == "data.tar.xz")
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(data))) as archive:
        return _tar_members(archive, members)


def single(path: Path, members: Sequence[str]) -> Members:
    """Read a file that is no archive."""
    return {members[0]: path.read_bytes()}


def _ar(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the members of an ar archive: 60-byte headers with name and decimal size, contents padded to even."""
    offset = 8  # past the magic
    while offset < len(data):
        header = data[offset : offset + 60]
        size = int(header[48:58])
        yield header[:16].decode().strip().rstrip("/"), data[offset + 60 : offset + 60 + size]
        offset += 60 + size + size % 2


def _tar_members(archive: tarfile.TarFile, members: Sequence[str]) -> Members:
    found = {}
    for member in members:
        stream = archive.extractfile(member)
        if stream is None:
            raise ExternalServiceError(f"{member}: not a file")
        found[member] = stream.read()
    return found


def as_they_are(members: Members) -> dict[str, bytes]:
    """Return files under their own names."""
    return {Path(member).name: content for member, content in members.items()}


def unzipped(members: Members) -> dict[str, bytes]:
    """Return gzip files decompressed: what they hold is pinned, not how it was packed."""
    return {Path(member).stem: gzip.decompress(content) for member, content in members.items()}


def review_titles(members: Members) -> dict[str, bytes]:
    """Return the reviews that have a title as CSV: title, department, class, rating."""
    import pyarrow.parquet as pq

    names = {"Title": "title", "Department Name": "department", "Class Name": "class", "Rating": "rating"}
    (parquet,) = members.values()
    rows = pq.read_table(io.BytesIO(parquet), columns=list(names)).to_pylist()
    titled = [[row[name] for name in names] for row in rows if row["Title"]]
    return {"reviews.csv": _csv([list(names.values()), *titled])}


def bandit_log(members: Members) -> dict[str, bytes]:
    """
    Return the logs of the Open Bandit sample, one below the other, as CSV.

    A campaign is a placement with its own items and three positions; item numbers mean nothing outside their campaign,
    so a creative is a campaign's item. The features of users are the context.
    """
    features = [f"user_feature_{i}" for i in range(4)]
    kept = ["timestamp", "position", "click", "propensity_score", *features]
    header = [*kept, "placement", "creative", "logging_policy"]
    rows: list[list[str]] = [header]
    for path, content in sorted(members.items()):
        policy, campaign = Path(path).parts[-3:-1]
        for row in csv.DictReader(io.StringIO(content.decode())):
            made = [campaign, f"{campaign}-{int(row['item_id']):03}", policy]
            rows.append([row[name] for name in kept] + made)
    return {"impressions.csv": _csv(rows)}


def digits(members: Members) -> dict[str, bytes]:
    """Return the digits, JSON lists of grey values in [0, 1] per digit, as one pair of idx files."""
    values = [np.asarray(json.loads(content)["data"]) for _, content in sorted(members.items())]
    images = np.rint(np.concatenate(values) * 255).astype(np.uint8).reshape(-1, 28, 28)
    labels = np.repeat(np.arange(len(values), dtype=np.uint8), [len(v) // 784 for v in values])
    return {"images-idx3-ubyte": _idx(images), "labels-idx1-ubyte": _idx(labels)}


def _idx(values: UInt8Array) -> bytes:
    return np.array([0x0800 + values.ndim, *values.shape], ">u4").tobytes() + values.tobytes()


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()
